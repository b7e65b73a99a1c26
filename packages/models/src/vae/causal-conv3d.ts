import { Module, type Parameter, type RowConvolutionInput } from "@wan-ts/nn";
import { concatenate, conv3d, type Tensor } from "@wan-ts/tensor";
import type { FeatureCache } from "./feature-cache.ts";

/** What the VAE's layers take: a chunk of a video, and what they remember of the chunks before. */
export interface ChunkInput {
  /** (B, T, H, W, C). */
  readonly input: Tensor;
  readonly cache: FeatureCache;
}

/**
 * A convolution that sees the present and past frames, and nothing of the future; before the first
 * frame it sees zeros. Parameters as diffusers' `WanCausalConv3d`.
 */
export class CausalConv3d extends Module<ChunkInput & RowConvolutionInput, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter;
  /** Sizes in the order time, height, width. */
  readonly kernel: readonly [number, number, number];
  /** How many frames before the present one the kernel covers. */
  readonly pastFrames: number;

  /** @param kernel odd sizes. The result has the height and width of the input. */
  constructor(inputs: number, outputs: number, kernel: readonly [number, number, number]) {
    super();
    this.kernel = kernel;
    this.weight = this.parameter("weight", [outputs, inputs, ...kernel]);
    this.bias = this.parameter("bias", [outputs]);
    this.pastFrames = kernel[0] - 1;
  }

  /** Zeros before and after a whole frame, in height and in width. */
  get spatialPadding(): readonly [height: readonly [number, number], width: readonly [number, number]] {
    const [, height, width] = this.kernel;
    return [
      [(height - 1) / 2, (height - 1) / 2],
      [(width - 1) / 2, (width - 1) / 2],
    ];
  }

  /** (B, T, H, W, inputs) → (B, T, H, W, outputs). Rows that are given instead of padding don't come out. */
  protected override forward({ input, cache, heightPadding }: ChunkInput & RowConvolutionInput): Tensor {
    const past = cache.recall(this);
    const frames = past ? concatenate([past, input], 1) : input;
    const missing = this.pastFrames - (past?.size(1) ?? 0);
    if (this.pastFrames > 0) {
      cache.remember(this, frames.slice(1, Math.max(0, frames.size(1) - this.pastFrames)));
    }
    const [height, width] = this.spatialPadding;
    return conv3d(frames, this.weight.value, {
      bias: this.bias.value,
      padding: [[missing, 0], heightPadding ?? height, width],
    });
  }
}
