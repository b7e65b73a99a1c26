import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";
import type { VaeConfig } from "./config.ts";
import { Downsample } from "./downsample.ts";
import { MidBlock } from "./mid-block.ts";
import { ResidualBlock } from "./residual-block.ts";

/** Video to moments of latents, chunk by chunk; diffusers' `WanEncoder3d`. */
export class VaeEncoder extends Module<ChunkInput, Tensor> {
  readonly convIn: CausalConv3d;
  readonly downBlocks: ModuleList<ResidualBlock | Downsample>;
  readonly midBlock: MidBlock;
  readonly normOut: ChannelNorm;
  readonly convOut: CausalConv3d;

  constructor(config: VaeConfig, attention: AttentionDispatcher) {
    super();
    const widths = config.dimMult.map((multiple) => multiple * config.baseDim);
    const lowest = encoderWidth(config);
    this.convIn = this.child("conv_in", new CausalConv3d(config.inChannels, config.baseDim, [3, 3, 3]));
    this.downBlocks = this.child("down_blocks", new ModuleList(downBlocks(config, widths)));
    this.midBlock = this.child("mid_block", new MidBlock(lowest, attention));
    this.normOut = this.child("norm_out", new ChannelNorm(lowest, { trailingDims: 3, activation: "silu" }));
    this.convOut = this.child("conv_out", new CausalConv3d(lowest, 2 * config.zDim, [3, 3, 3]));
  }

  /** (B, T, H, W, inChannels) → (B, T′, H′, W′, 2·zDim): one latent frame of the first, or of each group. */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = this.convIn.call({ input, cache });
    for (const block of this.downBlocks) hidden = block.call({ input: hidden, cache });
    hidden = this.midBlock.call({ input: hidden, cache });
    return this.convOut.call({ input: this.normOut.call({ input: hidden }), cache });
  }
}

/** Channels of the encoder's middle block. */
export function encoderWidth({ baseDim, dimMult }: VaeConfig): number {
  return baseDim * (dimMult.at(-1) as number);
}

/** The levels one after the other, in one list as checkpoints number them. */
function downBlocks(config: VaeConfig, widths: readonly number[]): (ResidualBlock | Downsample)[] {
  let channels = config.baseDim;
  return widths.flatMap((width, level) => {
    const blocks: (ResidualBlock | Downsample)[] = [];
    for (let index = 0; index < config.numResBlocks; index++) {
      blocks.push(new ResidualBlock(channels, width));
      channels = width;
    }
    const temporal = config.temporalDownsample[level]; // None for the last level.
    if (temporal !== undefined) blocks.push(new Downsample(width, temporal));
    return blocks;
  });
}
