import { preprocessForVideo, type RgbImage } from "@wan-ts/media";
import { normalizeLatents, type WanVae } from "@wan-ts/models";
import { concatenate, type Device, scope, Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";

/** The frames that a video is made from. */
export interface GivenFrames {
  readonly image: RgbImage;
  readonly lastImage?: RgbImage | undefined;
}

/**
 * What image to video is conditioned on, (1, 4 + zDim, T, H, W) float32: a mask that says which frames
 * are given, and the normalised latents of the given frames with grey ones between. After
 * `WanImageToVideoPipeline.prepare_latents` of diffusers.
 */
export function encodeCondition(
  vae: WanVae,
  { image, lastImage }: GivenFrames,
  sizes: RunSizes,
  device: Device,
): Tensor {
  const { height, width, numFrames } = sizes;
  return scope(() => {
    const given = lastImage ? [image, lastImage] : [image];
    const [first, last] = given.map((frame) => frameOf(frame, sizes, device));
    const between = numFrames - given.length;
    const grey = between > 0 ? [Tensor.zeros([1, 3, between, height, width], "float32", device)] : [];
    const video = concatenate([first!, ...grey, ...(last ? [last] : [])], 2); // (1, 3, F, H, W)
    const { mean } = vae.encode({ video }); // (1, zDim, T, H, W)
    const mask = givenMask(sizes, vae.config.scaleFactorTemporal, lastImage !== undefined, device);
    return concatenate([mask, normalizeLatents(mean, vae.config)], 1);
  });
}

/** The normalised latents of a first frame, (1, zDim, 1, H, W) float32. */
export function encodeFirstFrame(vae: WanVae, image: RgbImage, sizes: RunSizes, device: Device): Tensor {
  return scope(() => {
    const { mean } = vae.encode({ video: frameOf(image, sizes, device) });
    return normalizeLatents(mean, vae.config);
  });
}

/** (1, 3, 1, height, width) in [−1, 1]. */
function frameOf(image: RgbImage, { height, width }: RunSizes, device: Device): Tensor {
  return Tensor.from(preprocessForVideo(image, height, width), [1, 3, 1, height, width], "float32", device);
}

/**
 * (1, temporalFactor, T, H, W), 1 where a frame is given: a channel for each frame that a latent frame
 * stands for. The first latent frame stands for one, which fills its channels.
 */
function givenMask(sizes: RunSizes, temporalFactor: number, withLast: boolean, device: Device): Tensor {
  const { latentFrames, latentHeight, latentWidth } = sizes;
  const values = new Float32Array(temporalFactor * latentFrames); // (channels, latent frames)
  for (let channel = 0; channel < temporalFactor; channel++) values[channel * latentFrames] = 1;
  if (withLast) values[values.length - 1] = 1;
  const shape = [1, temporalFactor, latentFrames] as const;
  return Tensor.from(values, [...shape, 1, 1], "float32", device).expand([
    ...shape,
    latentHeight,
    latentWidth,
  ]);
}
