import type { WanTransformer } from "@wan-ts/models";
import type { WeightedModel } from "./weighted-model.ts";

/** A transformer and how far it follows the prompt. */
export interface Expert {
  readonly model: WeightedModel<WanTransformer>;
  /** Of the difference between the passes with the prompt and with the negative one. */
  readonly guidanceScale: number;
}

/** The experts of a run: one for all timesteps, or a second one below a boundary. */
export interface Experts {
  readonly highNoise: Expert;
  readonly lowNoise?: { readonly expert: Expert; readonly boundaryRatio: number } | undefined;
  /** Timesteps of the training schedule, which the boundary is a share of. */
  readonly numTrainTimesteps: number;
}

/**
 * The expert that denoises at a timestep: the low-noise one below the boundary. Boundary and timestep
 * are compared in float32, as diffusers' pipelines compare them.
 */
export function expertAt({ highNoise, lowNoise, numTrainTimesteps }: Experts, timestep: number): Expert {
  if (!lowNoise) return highNoise;
  const boundary = Math.fround(lowNoise.boundaryRatio * numTrainTimesteps);
  return Math.fround(timestep) >= boundary ? highNoise : lowNoise.expert;
}
