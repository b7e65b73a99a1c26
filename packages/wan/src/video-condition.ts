import { concatenate, scope, Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";

/** What the transformer is given at a step. */
export interface ModelInput {
  /** (B, inChannels, T, H, W), of the latents' dtype or wider. */
  readonly hiddenStates: Tensor;
  /** One for each sample, or those that `timestepOfToken` refers to. */
  readonly timestep: readonly number[];
  /** int32 (B, S). */
  readonly timestepOfToken?: Tensor;
}

/** How given frames enter the denoising loop. */
export interface VideoCondition extends Disposable {
  /** What the transformer sees of latents (B, zDim, T, H, W) at a timestep. */
  input(latents: Tensor, timestep: number): ModelInput;
  /** The latents of the video, once the loop has ended. */
  finish(latents: Tensor): Tensor;
}

/** Text alone: the transformer sees the latents. */
export const noCondition: VideoCondition = {
  input: (latents, timestep) => ({ hiddenStates: latents, timestep: perSample(latents, timestep) }),
  finish: (latents) => latents.share(),
  [Symbol.dispose]: () => undefined,
};

/** Mask and condition (1, C, T, H, W) float32 beside the latents' channels; owns them. */
export function channelCondition(condition: Tensor): VideoCondition {
  return {
    input: (latents, timestep) =>
      scope(() => {
        const whole = condition.expand([latents.size(0), ...condition.shape.slice(1)]);
        return {
          hiddenStates: concatenate([latents.to("float32"), whole], 1),
          timestep: perSample(latents, timestep),
        };
      }),
    finish: (latents) => latents.share(),
    [Symbol.dispose]: () => condition.dispose(),
  };
}

/**
 * An image in the place of the first latent frame (1, zDim, 1, H, W) float32, whose tokens are at
 * timestep 0; owns it. As the `expand_timesteps` of diffusers' `WanImageToVideoPipeline`: the loop goes
 * on computing that frame, the transformer and the result never see it.
 *
 * @param patchSize latent frames, rows and columns of a token.
 */
export function firstFrameCondition(
  image: Tensor,
  { batch, latentFrames, latentHeight, latentWidth }: RunSizes,
  [patchFrames, patchHeight, patchWidth]: readonly [number, number, number],
): VideoCondition {
  const perFrame = (latentHeight / patchHeight) * (latentWidth / patchWidth);
  const tokens = (latentFrames / patchFrames) * perFrame;
  const indices = new Int32Array(tokens).fill(1, perFrame);
  const timestepOfToken = scope(() =>
    Tensor.from(indices, [1, tokens], "int32", image.device).expand([batch, tokens]).contiguous(),
  );
  const withImage = (latents: Tensor): Tensor =>
    scope(() => {
      const frames = latents.to("float32");
      const first = image.expand([latents.size(0), ...image.shape.slice(1)]);
      return frames.size(2) === 1 ? first.contiguous() : concatenate([first, frames.slice(2, 1)], 2);
    });
  return {
    input: (latents, timestep) => ({
      hiddenStates: withImage(latents),
      timestep: [0, timestep],
      timestepOfToken,
    }),
    finish: withImage,
    [Symbol.dispose]: () => {
      timestepOfToken.dispose();
      image.dispose();
    },
  };
}

function perSample(latents: Tensor, timestep: number): number[] {
  return Array.from({ length: latents.size(0) }, () => timestep);
}
