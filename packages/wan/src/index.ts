export {
  ContextParallelConfig,
  ContextParallelError,
  type ContextParallelOptions,
} from "@wan-ts/context-parallel";
export type { WeightBytes } from "@wan-ts/nn";
export { int8, nf4, type QuantizableComponent, type QuantizationConfig } from "@wan-ts/quantization";
export { defaultAttentionRegistry } from "./attention-backends.ts";
export { checkGenerateOptions } from "./check-generate-options.ts";
export type { RunSizes } from "./check-options.ts";
export {
  type ImageEncoderConfig,
  type LowNoiseExpertConfig,
  type OpenOptions,
  openCheckpoint,
  type Task,
  type WanCheckpoint,
} from "./checkpoint.ts";
export type { AttendingModel, LoadOptions, WanComponents } from "./components.ts";
export type { DamagedWeight } from "./damaged-weight.ts";
export { CheckpointError, DisposedError, NonFiniteError, PipelineInputError } from "./errors.ts";
export type { Stage, StageEvent, StepCallback, StepEvent, StepReplacements, StepTensors } from "./events.ts";
export { WanImageToVideoPipeline } from "./image-to-video.ts";
export { checkInputs, chooseTask, type OptionalInputs, takesLastImage } from "./inputs.ts";
export { type LoadPipelineOptions, loadPipeline } from "./load-pipeline.ts";
export type { GenerateOptions, ImageToVideoOptions, OutputType } from "./options.ts";
export { WanPipeline } from "./pipeline.ts";
export { InsufficientMemoryError } from "./plan/insufficient-memory-error.ts";
export { describeMachine, type Machine, type MachineSpeed, measureSpeed } from "./plan/machine.ts";
export type { OperationKind } from "./plan/operation-cost.ts";
export {
  alternatives,
  planRanks,
  type RankPlan,
  type RanksPlan,
  type RanksSetting,
} from "./plan/plan-ranks.ts";
export type { PartName, RehearsedPart, RunOptions } from "./plan/rehearse-run.ts";
export { planRun, type RunPlan, type StagePlan } from "./plan/run-plan.ts";
export { type FittingRun, fitsMemory, type RunChange, whatWouldFit } from "./plan/what-would-fit.ts";
export { PromptCache, type PromptKey } from "./prompt-cache.ts";
export type { Frames, GenerateResult } from "./result.ts";
export { WanTextToVideoPipeline } from "./text-to-video.ts";
