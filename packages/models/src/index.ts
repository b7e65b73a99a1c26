export { ClipVisionEncoder, type ClipVisionInput } from "./clip/clip-vision-encoder.ts";
export { type ClipVisionConfig, clipVisionConfigSchema, parseClipVisionConfig } from "./clip/config.ts";
export { clipVisionFeaturePlan } from "./clip/feature-plan.ts";
export {
  clipVisionAttentionRequests,
  clipVisionLoadOptions,
  loadClipVisionEncoder,
} from "./clip/load-clip-vision.ts";
export { ConfigError, type ConfigProblem } from "./config-error.ts";
export type {
  ParallelDegrees,
  Parallelism,
  Parallelizer,
  ParallelModel,
  PromptBranches,
} from "./parallelizer.ts";
export {
  parseTransformerConfig,
  type TransformerConfig,
  transformerConfigSchema,
} from "./transformer/config.ts";
export { transformerContextParallelPlan } from "./transformer/context-parallel-plan.ts";
export type { CrossAttentionContext, KeyValue } from "./transformer/cross-attention.ts";
export {
  loadTransformer,
  transformerAttentionRequests,
  transformerKeepInFloat32,
  transformerLoadOptions,
} from "./transformer/load-transformer.ts";
export type { RotaryEmbedding, TokenGrid } from "./transformer/rotary-embedding.ts";
export type { TransformerBlock, TransformerBlockInput } from "./transformer/transformer-block.ts";
export { TransformerContext } from "./transformer/transformer-context.ts";
export { type ContextInput, type TransformerInput, WanTransformer } from "./transformer/wan-transformer.ts";
export { parseUmt5Config, type Umt5Config, umt5ConfigSchema } from "./umt5/config.ts";
export { umt5FeaturePlan } from "./umt5/feature-plan.ts";
export {
  loadUmt5Encoder,
  umt5AttentionRequests,
  umt5KeepInFloat32,
  umt5LoadOptions,
} from "./umt5/load-umt5.ts";
export { Umt5Encoder, type Umt5Input } from "./umt5/umt5-encoder.ts";
export { parseVaeConfig, type VaeConfig, vaeConfigSchema } from "./vae/config.ts";
export { denormalizeLatents, type LatentStatistics, normalizeLatents } from "./vae/latent-statistics.ts";
export { type LoadVaeOptions, loadVae, vaeAttentionRequests } from "./vae/load-vae.ts";
export { type RowSplitter, vaeRowPlan } from "./vae/row-plan.ts";
export type { VaeTiling } from "./vae/tiling.ts";
export { type LatentDistribution, WanVae } from "./vae/wan-vae.ts";
