import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";
import type { VaeConfig } from "./config.ts";
import { MidBlock } from "./mid-block.ts";
import { ResidualBlock } from "./residual-block.ts";
import { Upsample } from "./upsample.ts";

/** Latents to video, a latent frame at a time; diffusers' `WanDecoder3d`. */
export class VaeDecoder extends Module<ChunkInput, Tensor> {
  readonly convIn: CausalConv3d;
  readonly midBlock: MidBlock;
  readonly upBlocks: ModuleList<UpBlock>;
  readonly normOut: ChannelNorm;
  readonly convOut: CausalConv3d;

  constructor(config: VaeConfig, attention: AttentionDispatcher) {
    super();
    const lowest = decoderWidth(config);
    const widths = config.dimMult.toReversed().map((multiple) => multiple * config.decoderBaseDim);
    const highest = widths.at(-1) as number;
    const temporalUpsample = config.temporalDownsample.toReversed();
    const upBlocks = widths.map((width, level) => {
      // What comes from the level below has half its channels: its upsampling halved them.
      const inputs = level === 0 ? lowest : Math.floor((widths[level - 1] as number) / 2);
      return new UpBlock(inputs, width, config.numResBlocks, temporalUpsample[level]);
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

/** A level of the decoder: residual blocks, one more than the encoder's, then upsampling; `WanUpBlock`. */
class UpBlock extends Module<ChunkInput, Tensor> {
  readonly resnets: ModuleList<ResidualBlock>;
  readonly upsamplers: ModuleList<Upsample> | undefined;

  /** @param temporal whether upsampling doubles frames too; undefined for the last level, which has none. */
  constructor(inputs: number, outputs: number, layers: number, temporal: boolean | undefined) {
    super();
    const resnets = Array.from(
      { length: layers + 1 },
      (_, index) => new ResidualBlock(index === 0 ? inputs : outputs, outputs),
    );
    this.resnets = this.child("resnets", new ModuleList(resnets));
    this.upsamplers =
      temporal === undefined
        ? undefined
        : this.child("upsamplers", new ModuleList([new Upsample(outputs, temporal)]));
  }

  /** (B, T, H, W, inputs) → (B, T′, H′, W′, outputs, or half of them where it upsamples). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    let hidden = input;
    for (const resnet of this.resnets) hidden = resnet.call({ input: hidden, cache });
    for (const upsample of this.upsamplers ?? []) hidden = upsample.call({ input: hidden, cache });
    return hidden;
  }
}
