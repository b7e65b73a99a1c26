import type { AttentionDispatcher } from "@wan-ts/attention";
import { Linear, Module, RmsNorm } from "@wan-ts/nn";
import { rmsNormRotary, scope, type Tensor } from "@wan-ts/tensor";
import { DispatchedAttention } from "../dispatched-attention.ts";
import type { RotaryEmbedding } from "./rotary-embedding.ts";

/** Sizes of an attention module. */
export interface AttentionSettings {
  readonly heads: number;
  readonly headDim: number;
  readonly epsilon: number;
}

/** The arguments of {@link SelfAttention}. */
export interface SelfAttentionInput {
  /** (B, S, C). */
  readonly hiddenStates: Tensor;
  readonly rotary: RotaryEmbedding;
}

/** Attention among a video's tokens; parameters as diffusers' `WanAttention`. */
export class SelfAttention extends Module<SelfAttentionInput, Tensor> {
  readonly toQ: Linear;
  readonly toK: Linear;
  readonly toV: Linear;
  readonly toOut: Linear;
  readonly normQ: RmsNorm;
  readonly normK: RmsNorm;
  readonly heads: number;
  readonly headDim: number;
  readonly attention: DispatchedAttention;

  constructor({ heads, headDim, epsilon }: AttentionSettings, attention: AttentionDispatcher) {
    super();
    const dim = heads * headDim;
    this.toQ = this.child("to_q", new Linear(dim, dim));
    this.toK = this.child("to_k", new Linear(dim, dim));
    this.toV = this.child("to_v", new Linear(dim, dim));
    this.toOut = this.child("to_out.0", new Linear(dim, dim));
    this.normQ = this.child("norm_q", new RmsNorm(dim, { epsilon }));
    this.normK = this.child("norm_k", new RmsNorm(dim, { epsilon }));
    this.heads = heads;
    this.headDim = headDim;
    this.attention = this.child("attention", new DispatchedAttention(attention));
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward({ hiddenStates: input, rotary }: SelfAttentionInput): Tensor {
    // Normed over all heads together, before they part; then turned by position. Rounded to the
    // model's dtype after each, as both are separate operations in diffusers.
    const turned = (projection: Linear, norm: RmsNorm) =>
      scope(() =>
        rmsNormRotary(projection.call({ input }), {
          weight: norm.weight.value,
          epsilon: norm.settings.epsilon,
          heads: this.heads,
          ...rotary,
        }),
      );
    const query = turned(this.toQ, this.normQ); // (B, S, H, D)
    const key = turned(this.toK, this.normK); // (B, S, H, D)
    const value = splitHeads(this.toV.call({ input }), this.heads); // (B, S, H, D)
    const { output } = this.attention.call({ query, key, value }); // (B, S, H, D)
    for (const attended of [query, key, value]) attended.dispose();
    return this.toOut.call({ input: mergeHeads(output) }); // (B, S, C)
  }
}

/** (B, S, H·D) → (B, S, H, D). */
export function splitHeads(states: Tensor, heads: number): Tensor {
  return states.reshape([states.size(0), states.size(1), heads, -1]);
}

/** (B, S, H, D) → (B, S, H·D). */
export function mergeHeads(states: Tensor): Tensor {
  return states.reshape([states.size(0), states.size(1), -1]);
}
