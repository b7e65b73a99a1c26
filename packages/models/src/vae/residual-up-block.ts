import { Module, ModuleList } from "@wan-ts/nn";
import { add, type Tensor } from "@wan-ts/tensor";
import type { ChunkInput } from "./causal-conv3d.ts";
import { type ResidualBlock, residualBlocks } from "./residual-block.ts";
import { repeatUp } from "./shortcuts.ts";
import { Upsample } from "./upsample.ts";

/**
 * A level of the decoder of Wan 2.2: residual blocks, one more than the encoder's, then upsampling,
 * beside a shortcut that repeats; the last level has neither of the latter. diffusers'
 * `WanResidualUpBlock`.
 */
export class ResidualUpBlock extends Module<ChunkInput, Tensor> {
  readonly resnets: ModuleList<ResidualBlock>;
  readonly upsampler: Upsample | undefined;
  readonly #outputs: number;
  readonly #temporal: boolean;

  /** @param temporal whether upsampling doubles frames too; undefined for the last level, which has none. */
  constructor(inputs: number, outputs: number, layers: number, temporal: boolean | undefined) {
    super();
    this.resnets = this.child("resnets", new ModuleList(residualBlocks(inputs, outputs, layers + 1)));
    this.upsampler =
      temporal === undefined ? undefined : this.child("upsampler", new Upsample(outputs, outputs, temporal));
    this.#outputs = outputs;
    this.#temporal = temporal ?? false;
  }

  /** (B, T, H, W, inputs) → (B, T′, H′, W′, outputs). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = input;
    for (const resnet of this.resnets) hidden = resnet.call({ input: hidden, cache });
    if (!this.upsampler) return hidden;
    hidden = this.upsampler.call({ input: hidden, cache });
    const factors = { frames: this.#temporal ? 2 : 1, size: 2 };
    return add(hidden, repeatUp(input, this.#outputs, factors, hidden.size(1)));
  }
}
