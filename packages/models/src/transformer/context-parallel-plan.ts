import type { ContextParallelPlan } from "@wan-ts/nn";

/**
 * How the video's tokens are split: positions, times where each token has its own, and hidden states
 * at the first block; whole again after the last projection. Text and image tokens stay whole: 257 + 512
 * of them can't be shared out evenly, and attending to them takes no exchange. After diffusers'
 * `WanTransformer3DModel._cp_plan`.
 */
export const transformerContextParallelPlan: ContextParallelPlan = [
  { kind: "split", module: "rope", tensor: { result: "cos" }, dim: 1, dims: 3 },
  { kind: "split", module: "rope", tensor: { result: "sin" }, dim: 1, dims: 3 },
  {
    kind: "split",
    module: "condition_embedder",
    tensor: { argument: "timestepOfToken" },
    dim: 1,
    dims: 2,
    optional: true,
  },
  { kind: "split", module: "blocks.0", tensor: { argument: "hiddenStates" }, dim: 1, dims: 3 },
  { kind: "attention", module: "blocks.*.attn1.attention", operandsOf: "blocks.*.attn1" },
  { kind: "gather", module: "proj_out", dim: 1, dims: 3 },
];
