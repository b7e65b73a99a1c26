import { preprocessForVideo, type RgbImage } from "@wan-ts/media";
import type { WanVae } from "@wan-ts/models";
import { type Cancellation, concatenate, scope, Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";

/**
 * What image-to-video is conditioned on, (1, 4 + 16, T, H, W) float32: a mask that says which
 * frames are given, and the normalised latents of the image followed by grey frames. After
 * `WanImageToVideoPipeline.prepare_latents` of diffusers.
 */
export async function encodeCondition(
  vae: WanVae,
  image: RgbImage,
  sizes: RunSizes,
  temporalFactor: number,
  cancellation: Cancellation,
): Promise<Tensor> {
  const { height, width, numFrames, latentFrames, latentHeight, latentWidth } = sizes;
  using video = cancellation.run(() =>
    scope(() => {
      const first = Tensor.from(preprocessForVideo(image, height, width), [1, 3, 1, height, width]);
      if (numFrames === 1) return first;
      return concatenate([first, Tensor.zeros([1, 3, numFrames - 1, height, width])], 2);
    }),
  );
  using latents = await vae.encode({ video, cancellation });
  return cancellation.run(() =>
    scope(() => {
      const given = Tensor.full([1, temporalFactor, 1, latentHeight, latentWidth], 1);
      const open = Tensor.zeros([1, temporalFactor, latentFrames - 1, latentHeight, latentWidth]);
      const mask = concatenate([given, open], 2);
      return concatenate([mask, vae.normalize(latents)], 1);
    }),
  );
}
