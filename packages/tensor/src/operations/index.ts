export { type Activation, gelu, geluTanh, quickGelu, silu } from "./activation.ts";
export { add, clamp, divide, maximum, minimum, multiply, subtract, weightedSum } from "./arithmetic.ts";
export { type AttentionOptions, type AttentionResult, attention } from "./attention.ts";
export { type Conv3dOptions, conv3d } from "./conv3d.ts";
export { embedding } from "./embedding.ts";
export { allFinite } from "./finite.ts";
export { type LinearOptions, linear } from "./linear.ts";
export { concatenate, pad, upsampleNearest } from "./movement.ts";
export {
  type ChannelNormOptions,
  channelNorm,
  gatedResidual,
  type LayerNormOptions,
  layerNorm,
  type RmsNormOptions,
  rmsNorm,
} from "./normalization.ts";
export { type RmsNormRotaryOptions, rmsNormRotary, rotary } from "./rotary.ts";
