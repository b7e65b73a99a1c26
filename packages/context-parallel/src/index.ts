export type {
  ContextParallelAttention,
  ContextParallelInput,
  ContextParallelOutput,
  ContextParallelPlan,
} from "@wan-ts/nn";
export { checkPlan } from "./check-plan.ts";
export {
  ContextParallelConfig,
  type ContextParallelDegrees,
  type ContextParallelOptions,
  type ContextParallelSetting,
  chooseDegrees,
} from "./config.ts";
export {
  type ContextParallelism,
  ContextParallelizer,
  type ContextParallelModel,
  type RanksOfRun,
} from "./context-parallelizer.ts";
export { ContextParallelError, type ContextParallelErrorCode } from "./errors.ts";
export { type DividedModule, divideFeatures } from "./features/divide-features.ts";
export { splitFeaturesOverRanks } from "./features/split-features.ts";
export { DeviceMesh, type MeshAxis, type MeshCoordinates } from "./mesh.ts";
export { requireAttentionOver, requireRowInvariance } from "./require-attention.ts";
export { splitRowsOverRanks } from "./rows/split-rows.ts";
export { shares, startOf } from "./shares.ts";
