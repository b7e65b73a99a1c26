import type { AttentionDispatcher, AttentionRequest } from "@wan-ts/attention";
import { type LoadOptions, loadParameters, type TensorSource, type WeightQuantization } from "@wan-ts/nn";
import { storedQuantization } from "@wan-ts/quantization";
import type { Device, DType } from "@wan-ts/tensor";
import type { Umt5Config } from "./config.ts";
import { Umt5Encoder } from "./umt5-encoder.ts";

/**
 * Name components of what stays in float32. transformers keeps `wo` so in float16 alone: it guards
 * against overflow, which bfloat16 has the range to do without.
 */
export function umt5KeepInFloat32(dtype: DType): readonly string[] {
  return dtype === "float16" ? ["wo"] : [];
}

/**
 * How a `UMT5EncoderModel` checkpoint, or the encoder of a whole UMT5, is read in `dtype`, and in fewer
 * bits where that is asked for. `wo` stays unquantized, as transformers leaves it.
 */
export function umt5LoadOptions(dtype: DType, quantization?: WeightQuantization): LoadOptions {
  return {
    dtype,
    quantization,
    neverQuantized: ["wo"],
    keepInFloat32: umt5KeepInFloat32(dtype),
    aliases: { "shared.weight": ["encoder.embed_tokens.weight"] },
    ignored: [/^decoder\./, "lm_head.weight"],
  };
}

/** What a UMT5 encoder will ask of attention, known before its weights load. */
export function umt5AttentionRequests(config: Umt5Config, dtype: DType, device: Device): AttentionRequest[] {
  return [{ device, dtype, headDim: config.dKv, mask: true, logSumExp: false }];
}

/**
 * A UMT5 encoder with weights from a checkpoint, quantized where they are stored so. The caller disposes it.
 *
 * @throws {StateError} with every tensor that is missing, unexpected or misfitting.
 */
export function loadUmt5Encoder(
  config: Umt5Config,
  source: TensorSource,
  options: { readonly dtype: DType; readonly attention: AttentionDispatcher },
): Umt5Encoder {
  const encoder = new Umt5Encoder(config, options.attention);
  try {
    const quantization = config.quantization ? storedQuantization(config.quantization) : undefined;
    loadParameters(encoder, source, umt5LoadOptions(options.dtype, quantization));
  } catch (error) {
    encoder.dispose();
    throw error;
  }
  return encoder;
}
