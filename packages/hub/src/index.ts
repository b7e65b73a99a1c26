export type { ComponentWeights, ShardedWeights } from "./component-weights.ts";
export {
  HubError,
  type HubErrorCode,
  type HubErrorFacts,
  type HubProblem,
  SafetensorsError,
  type SafetensorsErrorCode,
  type SafetensorsErrorFacts,
} from "./errors.ts";
export { isNestedBeyond } from "./json-levels.ts";
export {
  type JsonFile,
  ModelComponent,
  ModelDirectory,
  type ModelDirectoryOptions,
  openModelDirectory,
} from "./model-directory.ts";
export { type ComponentClass, type ComponentName, componentFolders, type ModelIndex } from "./model-index.ts";
export {
  cacheDirectory,
  type ResolvedModel,
  type ResolveModelOptions,
  resolveModel,
} from "./resolve-model.ts";
export type { SafetensorsEntry, SafetensorsHeader } from "./safetensors/header.ts";
export { readSafetensorsHeader } from "./safetensors/read-header.ts";
export { readWeightEntries, type WeightEntry, type WeightListing } from "./weight-entries.ts";
export { saveTensors } from "./weight-file.ts";
export { openWeights, type WeightFile, type WeightFileOpener, type WeightSource } from "./weight-source.ts";
