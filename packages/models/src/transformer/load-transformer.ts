import type { AttentionDispatcher, AttentionRequest } from "@wan-ts/attention";
import { type LoadOptions, loadParameters, type TensorSource, type WeightQuantization } from "@wan-ts/nn";
import { storedQuantization } from "@wan-ts/quantization";
import type { Device, DType } from "@wan-ts/tensor";
import type { TransformerConfig } from "./config.ts";
import { WanTransformer } from "./wan-transformer.ts";

/** Name components of what stays in float32: diffusers' `_keep_in_fp32_modules`, for any dtype. */
export const transformerKeepInFloat32: readonly string[] = [
  "rope",
  "time_embedder",
  "scale_shift_table",
  "norm1",
  "norm2",
  "norm3",
];

/** How a `WanTransformer3DModel` checkpoint is read in `dtype`, and in fewer bits where that is asked for. */
export function transformerLoadOptions(dtype: DType, quantization?: WeightQuantization): LoadOptions {
  return {
    dtype,
    quantization,
    keepInFloat32: transformerKeepInFloat32,
    // Published checkpoints hold the norm of an image query that no model computes.
    ignored: [/\.norm_added_q\./],
  };
}

/** What a transformer will ask of attention, known before its weights load. */
export function transformerAttentionRequests(
  config: TransformerConfig,
  dtype: DType,
  device: Device,
): AttentionRequest[] {
  return [{ device, dtype, headDim: config.attentionHeadDim, mask: false, logSumExp: false }];
}

/**
 * A transformer with weights from a checkpoint, quantized where they are stored so. The caller disposes it.
 *
 * @throws {StateError} with every tensor that is missing, unexpected or misfitting.
 */
export function loadTransformer(
  config: TransformerConfig,
  source: TensorSource,
  options: { readonly dtype: DType; readonly attention: AttentionDispatcher },
): WanTransformer {
  const transformer = new WanTransformer(config, options.attention);
  try {
    const quantization = config.quantization ? storedQuantization(config.quantization) : undefined;
    loadParameters(transformer, source, transformerLoadOptions(options.dtype, quantization));
  } catch (error) {
    transformer.dispose();
    throw error;
  }
  return transformer;
}
