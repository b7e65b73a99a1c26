import { Module, ModuleList } from "@wan-ts/nn";
import { add, type Tensor } from "@wan-ts/tensor";
import type { ChunkInput } from "./causal-conv3d.ts";
import { Downsample } from "./downsample.ts";
import { type ResidualBlock, residualBlocks } from "./residual-block.ts";
import { averageDown, type ShortcutFactors } from "./shortcuts.ts";

/**
 * A level of the encoder of Wan 2.2: residual blocks, then downsampling, beside a shortcut that
 * averages; diffusers' `WanResidualDownBlock`.
 */
export class ResidualDownBlock extends Module<ChunkInput, Tensor> {
  readonly resnets: ModuleList<ResidualBlock>;
  readonly downsampler: Downsample | undefined;
  readonly #outputs: number;
  readonly #factors: ShortcutFactors;

  /** @param temporal whether downsampling halves frames too; undefined for the last level, which has none. */
  constructor(inputs: number, outputs: number, layers: number, temporal: boolean | undefined) {
    super();
    this.resnets = this.child("resnets", new ModuleList(residualBlocks(inputs, outputs, layers)));
    this.downsampler =
      temporal === undefined ? undefined : this.child("downsampler", new Downsample(outputs, temporal));
    this.#outputs = outputs;
    this.#factors = { frames: temporal ? 2 : 1, size: temporal === undefined ? 1 : 2 };
  }

  /** (B, T, H, W, inputs) → (B, T′, H′, W′, outputs). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = input;
    for (const resnet of this.resnets) hidden = resnet.call({ input: hidden, cache });
    if (this.downsampler) hidden = this.downsampler.call({ input: hidden, cache });
    return add(hidden, averageDown(input, this.#outputs, this.#factors));
  }
}
