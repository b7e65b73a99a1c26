import type { AttentionDispatcher } from "@wan-ts/attention";
import { Module, type Parameter } from "@wan-ts/nn";
import { add, linear, type Tensor } from "@wan-ts/tensor";
import { DispatchedAttention } from "../dispatched-attention.ts";
import type { ChunkInput } from "./causal-conv3d.ts";
import { ChannelNorm } from "./channel-norm.ts";

/** Attention among the pixels of each frame, by one head of all channels; diffusers' `WanAttentionBlock`. */
export class AttentionBlock extends Module<ChunkInput, Tensor> {
  readonly norm: ChannelNorm;
  readonly toQkv: PixelwiseLinear;
  readonly proj: PixelwiseLinear;
  readonly attention: DispatchedAttention;

  constructor(channels: number, attention: AttentionDispatcher) {
    super();
    this.norm = this.child("norm", new ChannelNorm(channels, { trailingDims: 2 }));
    this.toQkv = this.child("to_qkv", new PixelwiseLinear(channels, 3 * channels));
    this.proj = this.child("proj", new PixelwiseLinear(channels, channels));
    this.attention = this.child("attention", new DispatchedAttention(attention));
  }

  /** (B, T, H, W, C) → (B, T, H, W, C). */
  protected override forward({ input }: ChunkInput): Tensor {
    const [batch, frames, height, width, channels] = input.shape as [number, number, number, number, number];
    const projected = this.toQkv.call({ input: this.norm.call({ input }) }); // (B, T, H, W, 3·C)
    const [query, key, value] = projected
      .reshape([batch * frames, height * width, 1, 3 * channels])
      .chunk(3, -1) as [Tensor, Tensor, Tensor]; // (B·T, H·W, 1, C)
    const { output } = this.attention.call({ query, key, value });
    return add(this.proj.call({ input: output.reshape(input.shape) }), input);
  }
}

/** A linear layer over the channels of each pixel; parameters as a torch `nn.Conv2d` of kernel 1. */
class PixelwiseLinear extends Module<{ readonly input: Tensor }, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inputs: number, outputs: number) {
    super();
    this.weight = this.parameter("weight", [outputs, inputs, 1, 1]);
    this.bias = this.parameter("bias", [outputs]);
  }

  /** (…, inputs) → (…, outputs). */
  protected override forward({ input }: { readonly input: Tensor }): Tensor {
    const [outputs, inputs] = this.weight.shape as [number, number];
    return linear(input, this.weight.value.reshape([outputs, inputs]), { bias: this.bias.value });
  }
}
