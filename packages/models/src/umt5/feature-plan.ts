import type { FeaturePlan } from "@wan-ts/nn";
import type { Umt5Config } from "./config.ts";

/**
 * The features of a UMT5 encoder that may be computed apart: heads with their position biases, and the
 * columns of every product; of the token embeddings, so that each rank holds its part of the table.
 */
export function umt5FeaturePlan(config: Umt5Config): FeaturePlan {
  const attention = "encoder.block.*.layer.0.SelfAttention";
  const feedForward = "encoder.block.*.layer.1.DenseReluDense";
  const heads = { pieces: config.numHeads, width: config.dKv };
  const inner = { pieces: config.dFf, width: 1 };
  const states = { pieces: config.dModel, width: 1 };
  return [
    { module: "shared", output: states, gathered: true },
    { module: `${attention}.relative_attention_bias`, output: { ...heads, width: 1 }, gathered: false },
    { module: `${attention}.q`, output: heads, gathered: false },
    { module: `${attention}.k`, output: heads, gathered: false },
    { module: `${attention}.v`, output: heads, gathered: false },
    { module: `${attention}.o`, input: heads, inputOf: attention, output: states, gathered: true },
    { module: `${feedForward}.wi_0`, output: inner, gathered: false },
    { module: `${feedForward}.wi_1`, output: inner, gathered: false },
    { module: `${feedForward}.wo`, input: inner, inputOf: feedForward, output: states, gathered: true },
  ];
}
