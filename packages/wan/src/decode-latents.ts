import { denormalizeLatents, type WanVae } from "@wan-ts/models";
import { add, allFinite, clamp, concatenate, keep, multiply, scope, type Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";
import { NonFiniteError } from "./errors.ts";
import type { OutputType } from "./options.ts";
import type { Frames } from "./result.ts";

/** One decoded video, in the form asked for. */
export type DecodedVideo = { readonly frames: Frames } | { readonly tensor: Tensor };

/**
 * Decodes the latents (1, zDim, T, H, W) of one video, some frames at a time. `np` gives float32 in
 * [0, 1], `pil` bytes rounded to nearest, `pt` a tensor (F, 3, H, W).
 *
 * @throws {NonFiniteError} where a value is not finite.
 */
export async function decodeLatents(
  vae: WanVae,
  latents: Tensor,
  sizes: RunSizes,
  outputType: Exclude<OutputType, "latent">,
  signal: AbortSignal | undefined,
): Promise<DecodedVideo> {
  if (outputType === "pt") {
    const chunks: Tensor[] = [];
    try {
      for await (const pixels of decodedPixels(vae, latents, signal)) {
        using frames = pixels;
        if (!(await allFinite(frames))) throw new NonFiniteError("decoded frames");
        chunks.push(keep(scope(() => frames.permute([0, 3, 1, 2]).contiguous())));
      }
      return { tensor: keep(scope(() => concatenate(chunks, 0))) };
    } finally {
      for (const chunk of chunks) chunk.dispose();
    }
  }
  const { numFrames, height, width } = sizes;
  const count = numFrames * height * width * 3;
  const data = outputType === "np" ? new Float32Array(count) : new Uint8Array(count);
  let at = 0;
  for await (const chunk of decodedPixels(vae, latents, signal)) {
    using pixels = chunk;
    const values = await pixels.floats();
    if (!values.every(Number.isFinite)) throw new NonFiniteError("decoded frames");
    if (data instanceof Float32Array) data.set(values, at);
    else for (const [index, value] of values.entries()) data[at + index] = roundHalfToEven(value * 255);
    at += values.length;
  }
  return { frames: { data, numFrames, height, width } };
}

/** Frames (f, H, W, 3) in [0, 1] of latents (1, zDim, T, H, W), chunk by chunk; the caller disposes them. */
export async function* decodedPixels(
  vae: WanVae,
  latents: Tensor,
  signal: AbortSignal | undefined,
): AsyncGenerator<Tensor, void, void> {
  using whole = denormalizeLatents(latents, vae.config);
  for await (const chunk of vae.streamFrames({ latents: whole, signal })) {
    using video = chunk;
    yield scope(() => toUnit(video).select(0, 0).permute([1, 2, 3, 0]).contiguous());
  }
}

/** [-1, 1] to [0, 1], as diffusers' image processor does it. */
function toUnit(video: Tensor): Tensor {
  return clamp(add(multiply(video, 0.5), 0.5), 0, 1);
}

/** As NumPy rounds. */
function roundHalfToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}
