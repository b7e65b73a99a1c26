import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import type { ChunkInput } from "./causal-conv3d.ts";
import { type ResidualBlock, residualBlocks } from "./residual-block.ts";
import { Upsample } from "./upsample.ts";

/**
 * A level of the decoder of Wan 2.1: residual blocks, one more than the encoder's, then upsampling,
 * which halves the channels; diffusers' `WanUpBlock`.
 */
export class UpBlock extends Module<ChunkInput, Tensor> {
  readonly resnets: ModuleList<ResidualBlock>;
  readonly upsamplers: ModuleList<Upsample> | undefined;

  /** @param temporal whether upsampling doubles frames too; undefined for the last level, which has none. */
  constructor(inputs: number, outputs: number, layers: number, temporal: boolean | undefined) {
    super();
    this.resnets = this.child("resnets", new ModuleList(residualBlocks(inputs, outputs, layers + 1)));
    this.upsamplers =
      temporal === undefined
        ? undefined
        : this.child(
            "upsamplers",
            new ModuleList([new Upsample(outputs, Math.floor(outputs / 2), temporal)]),
          );
  }

  /** (B, T, H, W, inputs) → (B, T′, H′, W′, outputs, or half of them where it upsamples). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = input;
    for (const resnet of this.resnets) hidden = resnet.call({ input: hidden, cache });
    for (const upsample of this.upsamplers ?? []) hidden = upsample.call({ input: hidden, cache });
    return hidden;
  }
}
