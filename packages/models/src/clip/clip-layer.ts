import type { AttentionDispatcher } from "@wan-ts/attention";
import { LayerNorm, Linear, Module } from "@wan-ts/nn";
import { type Activation, add, type Tensor } from "@wan-ts/tensor";
import type { ClipVisionConfig } from "./config.ts";

const activations: Readonly<Record<ClipVisionConfig["hiddenAct"], Activation>> = {
  gelu: "gelu",
  quick_gelu: "quickGelu",
};

/** Attention among an image's tokens; parameters as transformers' `CLIPAttention`. */
class ClipSelfAttention extends Module<{ input: Tensor }, Tensor> {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;
  readonly output: Linear;
  readonly headDim: number;
  readonly #attention: AttentionDispatcher;

  constructor(config: ClipVisionConfig, attention: AttentionDispatcher) {
    super();
    const dim = config.hiddenSize;
    this.query = this.child("q_proj", new Linear(dim, dim));
    this.key = this.child("k_proj", new Linear(dim, dim));
    this.value = this.child("v_proj", new Linear(dim, dim));
    this.output = this.child("out_proj", new Linear(dim, dim));
    this.headDim = dim / config.numAttentionHeads;
    this.#attention = attention;
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward({ input }: { input: Tensor }): Tensor {
    const [batch, length] = input.shape as readonly [number, number, number];
    const split = (projection: Linear) =>
      projection.call({ input }).reshape([batch, length, -1, this.headDim]); // (B, S, H, D)
    const { output } = this.#attention.attend({
      query: split(this.query),
      key: split(this.key),
      value: split(this.value),
    });
    return this.output.call({ input: output.reshape([batch, length, -1]) }); // (B, S, C)
  }
}

/** One layer of the encoder; parameters as transformers' `CLIPEncoderLayer`. */
export class ClipLayer extends Module<{ hiddenStates: Tensor }, Tensor> {
  readonly norm1: LayerNorm;
  readonly attention: ClipSelfAttention;
  readonly norm2: LayerNorm;
  readonly expand: Linear;
  readonly contract: Linear;

  constructor(config: ClipVisionConfig, attention: AttentionDispatcher) {
    super();
    const { hiddenSize: dim, intermediateSize: inner, layerNormEps: epsilon } = config;
    const activation = activations[config.hiddenAct];
    this.norm1 = this.child("layer_norm1", new LayerNorm(dim, { epsilon }));
    this.attention = this.child("self_attn", new ClipSelfAttention(config, attention));
    this.norm2 = this.child("layer_norm2", new LayerNorm(dim, { epsilon }));
    this.expand = this.child("mlp.fc1", new Linear(dim, inner, { activation }));
    this.contract = this.child("mlp.fc2", new Linear(inner, dim));
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward({ hiddenStates }: { hiddenStates: Tensor }): Tensor {
    const attended = add(
      hiddenStates,
      this.attention.call({ input: this.norm1.call({ input: hiddenStates }) }),
    );
    const expanded = this.expand.call({ input: this.norm2.call({ input: attended }) });
    return add(attended, this.contract.call({ input: expanded }));
  }
}
