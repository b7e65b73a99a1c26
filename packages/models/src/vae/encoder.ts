import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";
import type { VaeConfig } from "./config.ts";
import { Downsample } from "./downsample.ts";
import { MidBlock } from "./mid-block.ts";
import { type ResidualBlock, residualBlocks } from "./residual-block.ts";
import { ResidualDownBlock } from "./residual-down-block.ts";

type DownBlock = ResidualBlock | Downsample | ResidualDownBlock;

/** Video to moments of latents, chunk by chunk; diffusers' `WanEncoder3d`. */
export class VaeEncoder extends Module<ChunkInput, Tensor> {
  readonly convIn: CausalConv3d;
  readonly downBlocks: ModuleList<DownBlock>;
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

/**
 * The levels one after the other: for Wan 2.1 their blocks in one list, as checkpoints number them, for
 * the residual one a block of each.
 */
function downBlocks(config: VaeConfig, widths: readonly number[]): DownBlock[] {
  return widths.flatMap((width, level): DownBlock[] => {
    const inputs = level === 0 ? config.baseDim : (widths[level - 1] as number);
    const temporal = config.temporalDownsample[level]; // None for the last level.
    if (config.isResidual) return [new ResidualDownBlock(inputs, width, config.numResBlocks, temporal)];
    const resnets = residualBlocks(inputs, width, config.numResBlocks);
    return temporal === undefined ? resnets : [...resnets, new Downsample(width, temporal)];
  });
}
