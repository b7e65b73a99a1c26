import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";
import type { VaeConfig } from "./config.ts";
import { MidBlock } from "./mid-block.ts";
import { ResidualUpBlock } from "./residual-up-block.ts";
import { UpBlock } from "./up-block.ts";

/** Latents to video, a latent frame at a time; diffusers' `WanDecoder3d`. */
export class VaeDecoder extends Module<ChunkInput, Tensor> {
  readonly convIn: CausalConv3d;
  readonly midBlock: MidBlock;
  readonly upBlocks: ModuleList<UpBlock | ResidualUpBlock>;
  readonly normOut: ChannelNorm;
  readonly convOut: CausalConv3d;

  constructor(config: VaeConfig, attention: AttentionDispatcher) {
    super();
    const lowest = decoderWidth(config);
    const widths = config.dimMult.toReversed().map((multiple) => multiple * config.decoderBaseDim);
    const highest = widths.at(-1) as number;
    const temporalUpsample = config.temporalDownsample.toReversed();
    const upBlocks = widths.map((width, level) => {
      const below = level === 0 ? lowest : (widths[level - 1] as number);
      const temporal = temporalUpsample[level]; // None for the last level.
      if (config.isResidual) return new ResidualUpBlock(below, width, config.numResBlocks, temporal);
      // Of the channels of the level below its upsampling left half.
      const inputs = level === 0 ? below : Math.floor(below / 2);
      return new UpBlock(inputs, width, config.numResBlocks, temporal);
    });
    this.convIn = this.child("conv_in", new CausalConv3d(config.zDim, lowest, [3, 3, 3]));
    this.midBlock = this.child("mid_block", new MidBlock(lowest, attention));
    this.upBlocks = this.child("up_blocks", new ModuleList(upBlocks));
    this.normOut = this.child("norm_out", new ChannelNorm(highest, { trailingDims: 3, activation: "silu" }));
    this.convOut = this.child("conv_out", new CausalConv3d(highest, config.outChannels, [3, 3, 3]));
  }

  /** (B, 1, H, W, zDim) → (B, T, H′, W′, outChannels): one frame of the first latent frame, then a group of each. */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = this.convIn.call({ input, cache });
    hidden = this.midBlock.call({ input: hidden, cache });
    for (const block of this.upBlocks) hidden = block.call({ input: hidden, cache });
    return this.convOut.call({ input: this.normOut.call({ input: hidden }), cache });
  }
}

/** Channels of the decoder's middle block. */
export function decoderWidth({ decoderBaseDim, dimMult }: VaeConfig): number {
  return decoderBaseDim * (dimMult.at(-1) as number);
}
