export { type ClipVisionConfig, clipVisionConfigSchema, parseClipVisionConfig } from "./clip/config.ts";
export { ConfigError, type ConfigProblem } from "./config-error.ts";
export {
  parseTransformerConfig,
  type TransformerConfig,
  transformerConfigSchema,
} from "./transformer/config.ts";
export { parseUmt5Config, type Umt5Config, umt5ConfigSchema } from "./umt5/config.ts";
export { parseVaeConfig, type VaeConfig, vaeConfigSchema } from "./vae/config.ts";
