export type {
  ContextParallelAttention,
  ContextParallelInput,
  ContextParallelOutput,
  ContextParallelPlan,
} from "./context-parallel-plan.ts";
export type { FeaturePlan, FeatureSplit, Features } from "./feature-plan.ts";
export {
  type AfterHook,
  type AroundHook,
  type BeforeHook,
  HookError,
  HookList,
  type HookOptions,
} from "./hooks.ts";
export { Conv3d, type Conv3dSettings } from "./layers/conv3d.ts";
export { Embedding } from "./layers/embedding.ts";
export { LayerNorm, type LayerNormSettings } from "./layers/layer-norm.ts";
export { Linear } from "./layers/linear.ts";
export { RmsNorm, type RmsNormSettings } from "./layers/rms-norm.ts";
export {
  checkParameters,
  type LoadOptions,
  loadParameters,
  parameterDType,
  StateError,
  type StateProblem,
  type TensorEntry,
  type TensorSource,
} from "./load.ts";
export { Module, ModuleList, ModuleNode } from "./module.ts";
export { type BlockOffloadOptions, offloadBlocks } from "./offload-blocks.ts";
export { Parameter, type ParameterOptions, type ParameterPart } from "./parameter.ts";
export type { QuantizedWeight, StoredWeight, WeightQuantization } from "./quantization.ts";
export type { RowConvolution, RowConvolutionInput, RowPlan, RowRegion } from "./row-plan.ts";
export { type WeightBytes, weightBytes } from "./weight-bytes.ts";
