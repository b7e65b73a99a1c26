import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, ModuleList } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { AttentionBlock } from "./attention-block.ts";
import type { ChunkInput } from "./causal-conv3d.ts";
import { ResidualBlock } from "./residual-block.ts";

/** The block at the lowest resolution: attention between two residual blocks; diffusers' `WanMidBlock`. */
export class MidBlock extends Module<ChunkInput, Tensor> {
  readonly resnets: ModuleList<ResidualBlock>;
  readonly attentions: ModuleList<AttentionBlock>;

  constructor(channels: number, attention: AttentionDispatcher) {
    super();
    const resnets = [new ResidualBlock(channels, channels), new ResidualBlock(channels, channels)];
    this.resnets = this.child("resnets", new ModuleList(resnets));
    this.attentions = this.child("attentions", new ModuleList([new AttentionBlock(channels, attention)]));
  }

  /** (B, T, H, W, C) → (B, T, H, W, C). */
  protected override forward({ input, cache }: ChunkInput): Tensor {
    const [before, after] = this.resnets.items as readonly [ResidualBlock, ResidualBlock];
    const [attention] = this.attentions.items as readonly [AttentionBlock];
    let hidden = before.call({ input, cache });
    hidden = attention.call({ input: hidden, cache });
    return after.call({ input: hidden, cache });
  }
}
