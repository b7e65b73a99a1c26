export { type Activation, activate, gelu, geluTanh, quickGelu, silu } from "./activation.ts";
export { add, clamp, divide, maximum, minimum, multiply, subtract, weightedSum } from "./arithmetic.ts";
export {
  type AttentionOptions,
  type AttentionResult,
  attention,
  mergeAttention,
  type PartialAttention,
} from "./attention.ts";
export { attentionInPieces, type KeyPiece } from "./attention-in-pieces.ts";
export { type Conv3dOptions, conv3d } from "./conv3d.ts";
export { cudnnAttention, cudnnVersion } from "./cudnn-attention.ts";
export { embedding } from "./embedding.ts";
export { allFinite } from "./finite.ts";
export { type LinearOptions, linear } from "./linear.ts";
export { mean } from "./mean.ts";
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
export {
  type BlockwiseCodes,
  type DequantizeNf4Options,
  dequantizeBlockwise,
  dequantizeInt8,
  dequantizeNf4,
  type Int8Codes,
  type Nf4Codes,
  quantizeBlockwise,
  quantizeInt8,
  quantizeNf4,
} from "./quantization.ts";
export { type RmsNormRotaryOptions, rmsNormRotary, rotary } from "./rotary.ts";
