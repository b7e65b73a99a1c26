import { Module } from "@wan-ts/nn";
import { Tensor, upsampleNearest } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import type { FeatureCache } from "./feature-cache.ts";
import { SpatialConv } from "./spatial-conv.ts";

/**
 * Doubles height and width, changes the channels and, where `temporal`, doubles the number of frames;
 * diffusers' `WanResample` of mode `upsample2d` or `upsample3d`.
 */
export class Upsample extends Module<ChunkInput, Tensor> {
  readonly spatial: SpatialConv;
  readonly timeConv: CausalConv3d | undefined;

  constructor(inputs: number, outputs: number, temporal: boolean) {
    super();
    // Second in the checkpoint's sequence: the upsampling comes first, without parameters.
    this.spatial = this.child(
      "resample.1",
      new SpatialConv(inputs, outputs, { kernel: 3, stride: 1, padding: [1, 1] }),
    );
    this.timeConv = temporal
      ? this.child("time_conv", new CausalConv3d(inputs, 2 * inputs, [3, 1, 1]))
      : undefined;
  }

  /**
   * (B, T, H, W, inputs) → (B, T′, 2·H, 2·W, outputs). T′ is T; where `temporal` it is 2·T, but the
   * first chunk, of one frame, stays one.
   */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    const frames = this.timeConv ? doubleFrames(this.timeConv, input, cache) : input;
    return this.spatial.call({ input: upsampleNearest(frames, 2) });
  }
}

/** (B, T, H, W, C) → (B, 2·T, H, W, C) by a convolution that makes two frames of each. */
function doubleFrames(timeConv: CausalConv3d, input: Tensor, cache: FeatureCache): Tensor {
  const [batch, frames, height, width, channels] = input.shape as [number, number, number, number, number];
  if (!cache.recall(timeConv)) {
    // The first latent frame is one frame of the video. It isn't doubled, and the convolution begins
    // with the second, as though nothing had been before it.
    const past = [batch, timeConv.pastFrames, height, width, channels];
    const nothing = Tensor.zeros(past, input.dtype, input.device);
    cache.remember(timeConv, nothing);
    return input;
  }
  return timeConv
    .call({ input, cache }) // (B, T, H, W, 2·C)
    .reshape([batch, frames, height, width, 2, channels])
    .permute([0, 1, 4, 2, 3, 5]) // (B, T, 2, H, W, C)
    .reshape([batch, 2 * frames, height, width, channels]);
}
