import { preprocessForVideo, type RgbImage } from "@wan-ts/media";
import { normalizeLatents, type WanVae } from "@wan-ts/models";
import { type Cancellation, concatenate, scope, Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";

/**
 * What image-to-video is conditioned on, (1, 4 + 16, T, H, W) float32: a mask that says which
 * frames are given, and the normalised latents of the image followed by grey frames. After
 * `WanImageToVideoPipeline.prepare_latents` of diffusers.
 */
export function encodeCondition(
  vae: WanVae,
  image: RgbImage,
  sizes: RunSizes,
  cancellation: Cancellation,
): Tensor {
  const temporalFactor = vae.config.scaleFactorTemporal;
  const { height, width, numFrames, latentFrames, latentHeight, latentWidth } = sizes;
  return cancellation.run(() =>
    scope(() => {
      const first = Tensor.from(preprocessForVideo(image, height, width), [1, 3, 1, height, width]);
      const grey = Tensor.zeros([1, 3, numFrames - 1, height, width]);
      const { mean } = vae.encode({ video: concatenate([first, grey], 2) }); // (1, 16, T, H, W)
      const given = Tensor.full([1, temporalFactor, 1, latentHeight, latentWidth], 1);
      const open = Tensor.zeros([1, temporalFactor, latentFrames - 1, latentHeight, latentWidth]);
      return concatenate([concatenate([given, open], 2), normalizeLatents(mean, vae.config)], 1);
    }),
  );
}
