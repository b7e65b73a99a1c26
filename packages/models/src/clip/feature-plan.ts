import type { FeaturePlan } from "@wan-ts/nn";
import type { ClipVisionConfig } from "./config.ts";

/** The features of a CLIP image encoder that may be computed apart: heads, and the columns of every product. */
export function clipVisionFeaturePlan(config: ClipVisionConfig): FeaturePlan {
  const layer = "encoder.layers.*";
  const heads = {
    pieces: config.numAttentionHeads,
    width: config.hiddenSize / config.numAttentionHeads,
  };
  const inner = { pieces: config.intermediateSize, width: 1 };
  const states = { pieces: config.hiddenSize, width: 1 };
  return [
    { module: `${layer}.self_attn.q_proj`, output: heads, gathered: false },
    { module: `${layer}.self_attn.k_proj`, output: heads, gathered: false },
    { module: `${layer}.self_attn.v_proj`, output: heads, gathered: false },
    {
      module: `${layer}.self_attn.out_proj`,
      input: heads,
      inputOf: `${layer}.self_attn`,
      output: states,
      gathered: true,
    },
    { module: `${layer}.mlp.fc1`, output: inner, gathered: false },
    {
      module: `${layer}.mlp.fc2`,
      input: inner,
      inputOf: `${layer}.mlp.fc1`,
      output: states,
      gathered: true,
    },
  ];
}
