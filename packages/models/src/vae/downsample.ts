import { Conv3d, Module } from "@wan-ts/nn";
import { concatenate, type Tensor } from "@wan-ts/tensor";
import type { ChunkInput } from "./causal-conv3d.ts";
import { SpatialConv } from "./spatial-conv.ts";

/**
 * Halves height and width and, where `temporal`, the number of frames; diffusers' `WanResample` of
 * mode `downsample2d` or `downsample3d`.
 */
export class Downsample extends Module<ChunkInput, Tensor> {
  readonly spatial: SpatialConv;
  readonly timeConv: Conv3d | undefined;

  constructor(channels: number, temporal: boolean) {
    super();
    // Second in the checkpoint's sequence: the padding comes first, without parameters.
    this.spatial = this.child(
      "resample.1",
      new SpatialConv(channels, channels, { kernel: 3, stride: 2, padding: [0, 1] }),
    );
    this.timeConv = temporal
      ? this.child("time_conv", new Conv3d(channels, channels, { kernel: [3, 1, 1], stride: [2, 1, 1] }))
      : undefined;
  }

  /**
   * (B, T, H, W, C) → (B, T′, H/2, W/2, C). T′ is T; where `temporal` it is T/2, but the first chunk,
   * of one frame, which is a latent frame by itself, stays as it is.
   */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    const frames = this.spatial.call({ input });
    if (!this.timeConv) return frames;
    const last = cache.recall(this.timeConv);
    const halved = last && this.timeConv.call({ input: concatenate([last, frames], 1) });
    cache.remember(this.timeConv, frames.slice(1, -1));
    return halved ?? frames;
  }
}
