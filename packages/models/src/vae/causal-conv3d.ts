import { Module, type Parameter } from "@wan-ts/nn";
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
export class CausalConv3d extends Module<ChunkInput, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter;
  /** How many frames before the present one the kernel covers. */
  readonly pastFrames: number;
  readonly #spatialPadding: readonly (readonly [number, number])[];

  /** @param kernel odd sizes: time, height, width. The result has the height and width of the input. */
  constructor(inputs: number, outputs: number, kernel: readonly [number, number, number]) {
    super();
    const [frames, height, width] = kernel;
    this.weight = this.parameter("weight", [outputs, inputs, ...kernel]);
    this.bias = this.parameter("bias", [outputs]);
    this.pastFrames = frames - 1;
    this.#spatialPadding = [height, width].map((size) => [(size - 1) / 2, (size - 1) / 2]);
  }

  /** (B, T, H, W, inputs) → (B, T, H, W, outputs). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    const past = cache.recall(this);
    const frames = past ? concatenate([past, input], 1) : input;
    const missing = this.pastFrames - (past?.size(1) ?? 0);
    if (this.pastFrames > 0) {
      cache.remember(this, frames.slice(1, Math.max(0, frames.size(1) - this.pastFrames)));
    }
    return conv3d(frames, this.weight.value, {
      bias: this.bias.value,
      padding: [[missing, 0], ...this.#spatialPadding],
    });
  }
}
