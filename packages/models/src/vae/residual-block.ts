import { Module } from "@wan-ts/nn";
import { add, type Tensor } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";

/** Two causal convolutions behind norm and SiLU, beside a shortcut; diffusers' `WanResidualBlock`. */
export class ResidualBlock extends Module<ChunkInput, Tensor> {
  readonly norm1: ChannelNorm;
  readonly conv1: CausalConv3d;
  readonly norm2: ChannelNorm;
  readonly conv2: CausalConv3d;
  /** Where the number of channels changes. */
  readonly convShortcut: CausalConv3d | undefined;

  constructor(inputs: number, outputs: number) {
    super();
    const settings = { trailingDims: 3, activation: "silu" } as const;
    this.norm1 = this.child("norm1", new ChannelNorm(inputs, settings));
    this.conv1 = this.child("conv1", new CausalConv3d(inputs, outputs, [3, 3, 3]));
    this.norm2 = this.child("norm2", new ChannelNorm(outputs, settings));
    this.conv2 = this.child("conv2", new CausalConv3d(outputs, outputs, [3, 3, 3]));
    this.convShortcut =
      inputs === outputs
        ? undefined
        : this.child("conv_shortcut", new CausalConv3d(inputs, outputs, [1, 1, 1]));
  }

  /** (B, T, H, W, inputs) → (B, T, H, W, outputs). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    const first = this.conv1.call({ input: this.norm1.call({ input }), cache });
    const second = this.conv2.call({ input: this.norm2.call({ input: first }), cache });
    return add(second, this.convShortcut?.call({ input, cache }) ?? input);
  }
}

/** `count` blocks in a row, the first of which changes the number of channels. */
export function residualBlocks(inputs: number, outputs: number, count: number): ResidualBlock[] {
  return Array.from(
    { length: count },
    (_, index) => new ResidualBlock(index === 0 ? inputs : outputs, outputs),
  );
}
