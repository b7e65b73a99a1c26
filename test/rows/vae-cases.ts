/** What the tests of rows over ranks compute, on one process and on each of several ranks. */

import { createHash } from "node:crypto";
import { AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import { NativeAttentionBackend } from "@wan-ts/attention-native";
import { parseVaeConfig, type RowSplitter, WanVae } from "@wan-ts/models";
import { Module } from "@wan-ts/nn";
import { Generator, memory, resetPeakMemory, synchronizeBlocking, Tensor } from "@wan-ts/tensor";

const small = { dim_mult: [1, 2, 2, 2], num_res_blocks: 1, base_dim: 8 };
const zDim = 4;
const statistics = { z_dim: zDim, latents_mean: Array(zDim).fill(0), latents_std: Array(zDim).fill(1) };

/** Configs of each generation's kind, small. */
const configs = {
  "Wan 2.1": { ...small, ...statistics },
  "Wan 2.2": {
    ...small,
    ...statistics,
    decoder_base_dim: 12,
    is_residual: true,
    patch_size: 2,
    in_channels: 12,
    out_channels: 12,
    scale_factor_spatial: 16,
  },
} as const;

/** A generation of the VAE. */
export type Generation = keyof typeof configs;

export const generations = Object.keys(configs) as readonly Generation[];

/** Normal numbers of unit variance, the same in every process. */
function normal(seed: number, shape: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(new Generator(seed).randn(count), shape);
}

/** A small VAE with weights that tell all places apart, at a scale that keeps features of order 1. */
export function smallVae(generation: Generation, splitRows?: RowSplitter): WanVae {
  const attention = new AttentionDispatcher(new AttentionRegistry([new NativeAttentionBackend()]), []);
  const vae = new WanVae(parseVaeConfig(configs[generation], "config.json"), attention, splitRows);
  let seed = 1;
  for (const [name, parameter] of vae.namedParameters()) {
    const [, ...fan] = parameter.shape;
    const inputs = fan.reduce((product, size) => product * size, 1);
    const scale = name.endsWith("weight") ? 1 / Math.sqrt(inputs) : 0.2;
    const count = parameter.shape.reduce((product, size) => product * size, 1);
    const values = new Generator(seed++).randn(count);
    const placed = values.map((value) => (name.endsWith("gamma") ? 1 + 0.1 * value : scale * value));
    parameter.set(Tensor.from(placed, parameter.shape));
  }
  return vae;
}

/** SHA-256 of a tensor's shape and values. */
async function digest(tensor: Tensor): Promise<string> {
  const bytes = await tensor.rawBytes();
  return createHash("sha256").update(`${tensor.shape}`).update(bytes).digest("hex");
}

/** Rows of latents: even and uneven bands, bands of one row, fewer rows than ranks. */
const heights = [8, 5, 3, 1];
const columns = 3;
const latentFrames = 3;

/** Each thing that a VAE computes, by name, as a digest. Tensors are freed. */
export async function* vaeOutcomes(vae: WanVae): AsyncGenerator<readonly [name: string, digest: string]> {
  const { scaleFactorSpatial: spatial, scaleFactorTemporal: temporal } = vae.config;
  const frames = 1 + (latentFrames - 1) * temporal;
  const videoOf = (batch: number, rows: number): Tensor =>
    normal(rows, [batch, 3, frames, rows * spatial, columns * spatial]);
  const latentsOf = (batch: number, rows: number): Tensor =>
    normal(100 + rows, [batch, zDim, latentFrames, rows, columns]);
  const encode = async (name: string, batch: number, rows: number) => {
    using video = videoOf(batch, rows);
    const { mean, logVariance } = vae.encode({ video });
    const digests = [await digest(mean), await digest(logVariance)];
    mean.dispose();
    logVariance.dispose();
    return [`${name} of ${rows} rows encoded`, digests.join(" ")] as const;
  };
  const decode = async (name: string, batch: number, rows: number) => {
    using latents = latentsOf(batch, rows);
    using video = vae.decode({ latents });
    return [`${name} of ${rows} rows decoded`, await digest(video)] as const;
  };
  for (const rows of heights) {
    yield await encode("one sample", 1, rows);
    yield await decode("one sample", 1, rows);
  }
  using latents = latentsOf(1, 5);
  let index = 0;
  for await (const chunk of vae.streamFrames({ latents })) {
    using frames = chunk;
    yield [`chunk ${index++} of 5 rows`, await digest(frames)];
  }
  yield await encode("a batch", 2, 3);
  yield await decode("a batch", 2, 3);
  vae.enableSlicing();
  yield await decode("a batch in slices", 2, 3);
  vae.disableSlicing();
  // Tiles of 2 rows, one for each: the last of 5 rows has only one. Wan 2.2 encodes in twice as many.
  vae.enableTiling({
    tileSampleMinHeight: 2 * spatial,
    tileSampleMinWidth: 2 * spatial,
    tileSampleStrideHeight: spatial,
    tileSampleStrideWidth: spatial,
  });
  yield await encode("one sample in tiles", 1, 5);
  yield await decode("one sample in tiles", 1, 5);
  vae.disableTiling();
}

/**
 * The most bytes held, beyond what was before, while frames of 12 × 12 latent pixels are encoded and
 * decoded. Each module's tensors are computed before it returns, so that the figure doesn't hang on how
 * far the program runs ahead.
 */
export function peaksOf(vae: WanVae): { readonly encode: number; readonly decode: number } {
  const { scaleFactorSpatial: spatial } = vae.config;
  const size = 12;
  const measure = (body: () => void): number => {
    synchronizeBlocking();
    resetPeakMemory();
    const before = memory().liveBytes;
    body();
    synchronizeBlocking();
    return memory().peakBytes - before;
  };
  using video = Tensor.full([1, 3, 5, size * spatial, size * spatial], 0.5);
  using latents = Tensor.full([1, zDim, 2, size, size], 0.5);
  using inStep = new DisposableStack();
  for (const [, module] of vae.namedModules()) {
    if (module instanceof Module) {
      inStep.defer(module.hooks.add({ name: "inStep", after: () => synchronizeBlocking() }));
    }
  }
  return {
    encode: measure(() => {
      const { mean, logVariance } = vae.encode({ video });
      mean.dispose();
      logVariance.dispose();
    }),
    decode: measure(() => {
      for (const chunk of vae.decodeFrames({ latents })) chunk.dispose();
    }),
  };
}
