import type { AttentionDispatcher } from "@wan-ts/attention";
import { Embedding, Linear, Module } from "@wan-ts/nn";
import { add, clamp, multiply, scope, type Tensor } from "@wan-ts/tensor";
import type { Umt5Config } from "./config.ts";
import { Umt5Norm } from "./umt5-norm.ts";

/** The arguments of {@link Umt5Block} and its attention. */
export interface Umt5BlockInput {
  /** (B, S, C). */
  readonly hiddenStates: Tensor;
  /** int32 (S, S), queries × keys: the bucket of each pair's relative position. */
  readonly buckets: Tensor;
  /** float32 (B, 1, 1, S), added to the scores: 0, or the lowest number where a key is padding. */
  readonly padding?: Tensor | undefined;
}

/** Attention with a learned bias by relative position; parameters as transformers' `UMT5Attention`. */
class Umt5SelfAttention extends Module<Umt5BlockInput, Tensor> {
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  /** Every layer has its own, which sets UMT5 apart from T5. */
  readonly relativeAttentionBias: Embedding;
  readonly headDim: number;
  readonly #attention: AttentionDispatcher;

  constructor(config: Umt5Config, attention: AttentionDispatcher) {
    super();
    const inner = config.numHeads * config.dKv;
    this.q = this.child("q", new Linear(config.dModel, inner, { bias: false }));
    this.k = this.child("k", new Linear(config.dModel, inner, { bias: false }));
    this.v = this.child("v", new Linear(config.dModel, inner, { bias: false }));
    this.o = this.child("o", new Linear(inner, config.dModel, { bias: false }));
    this.relativeAttentionBias = this.child(
      "relative_attention_bias",
      new Embedding(config.relativeAttentionNumBuckets, config.numHeads),
    );
    this.headDim = config.dKv;
    this.#attention = attention;
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward({ hiddenStates: input, buckets, padding }: Umt5BlockInput): Tensor {
    const [batch, length] = input.shape as readonly [number, number, number];
    const split = (projection: Linear) =>
      projection.call({ input }).reshape([batch, length, -1, this.headDim]); // (B, S, H, D)
    const mask = scope(() => {
      const bias = this.relativeAttentionBias.call({ indices: buckets }).permute([2, 0, 1]); // (H, S, S)
      const widened = bias.to("float32").unsqueeze(0); // (1, H, S, S)
      return padding ? add(widened, padding) : widened; // (B or 1, H, S, S)
    });
    const { output } = this.#attention.attend({
      query: split(this.q),
      key: split(this.k),
      value: split(this.v),
      mask,
      scale: 1, // T5 takes 1/√D into the weights.
    });
    return this.o.call({ input: output.reshape([batch, length, -1]) }); // (B, S, C)
  }
}

/** Feed-forward with a gate (Shazeer 2020); parameters as transformers' `UMT5DenseGatedActDense`. */
class GatedFeedForward extends Module<{ input: Tensor }, Tensor> {
  readonly gate: Linear;
  readonly linear: Linear;
  readonly output: Linear;

  constructor(config: Umt5Config) {
    super();
    this.gate = this.child(
      "wi_0",
      new Linear(config.dModel, config.dFf, { bias: false, activation: "geluTanh" }),
    );
    this.linear = this.child("wi_1", new Linear(config.dModel, config.dFf, { bias: false }));
    this.output = this.child("wo", new Linear(config.dFf, config.dModel, { bias: false }));
  }

  /** (…, C) → (…, C), of `wo`'s dtype. */
  protected override forward({ input }: { input: Tensor }): Tensor {
    const gated = multiply(this.gate.call({ input }), this.linear.call({ input }));
    // `wo` stays in float32 in a float16 model: what it sums exceeds float16's range.
    return this.output.call({ input: gated.to(this.output.weight.dtype) });
  }
}

/** One layer of the encoder; parameters as transformers' `UMT5Block`. */
export class Umt5Block extends Module<Umt5BlockInput, Tensor> {
  readonly attentionNorm: Umt5Norm;
  readonly attention: Umt5SelfAttention;
  readonly feedForwardNorm: Umt5Norm;
  readonly feedForward: GatedFeedForward;

  constructor(config: Umt5Config, attention: AttentionDispatcher) {
    super();
    const { dModel, layerNormEpsilon } = config;
    this.attention = this.child("layer.0.SelfAttention", new Umt5SelfAttention(config, attention));
    this.attentionNorm = this.child("layer.0.layer_norm", new Umt5Norm(dModel, layerNormEpsilon));
    this.feedForward = this.child("layer.1.DenseReluDense", new GatedFeedForward(config));
    this.feedForwardNorm = this.child("layer.1.layer_norm", new Umt5Norm(dModel, layerNormEpsilon));
  }

  /** (B, S, C) → (B, S, C). float32 where any of its parts is; see {@link GatedFeedForward}. */
  protected override forward({ hiddenStates, buckets, padding }: Umt5BlockInput): Tensor {
    const normed = this.attentionNorm.call({ input: hiddenStates });
    const attended = finite(
      addWidened(hiddenStates, this.attention.call({ hiddenStates: normed, buckets, padding })),
    );
    const input = this.feedForwardNorm.call({ input: attended });
    return finite(addWidened(attended, this.feedForward.call({ input })));
  }
}

/** left + right, in float32 where either is: the promotion that torch does. */
function addWidened(left: Tensor, right: Tensor): Tensor {
  return left.dtype === right.dtype ? add(left, right) : add(left.to("float32"), right.to("float32"));
}

/** The greatest float16 less 1000, which transformers holds an overflowing float16 state to. */
const largestFloat16State = 64_504;

/**
 * A float16 state without infinities. transformers holds states to this bound where one of them has
 * overflowed; here to the same bound always, as asking whether one has would wait for the device.
 */
function finite(states: Tensor): Tensor {
  return states.dtype === "float16" ? clamp(states, -largestFloat16State, largestFloat16State) : states;
}
