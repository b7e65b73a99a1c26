import type { AttentionDispatcher, AttentionRequest } from "@wan-ts/attention";
import { type LoadOptions, loadParameters, type TensorSource } from "@wan-ts/nn";
import type { Device, DType } from "@wan-ts/tensor";
import { ClipVisionEncoder } from "./clip-vision-encoder.ts";
import type { ClipVisionConfig } from "./config.ts";

/** What `CLIPVisionModelWithProjection` and `CLIPModel` put before the names of the image encoder. */
const prefix = "vision_model.";

/** How a CLIP checkpoint, of the image encoder alone or of the whole, is read in `dtype`. */
export function clipVisionLoadOptions(encoder: ClipVisionEncoder, dtype: DType): LoadOptions {
  const names = [...encoder.namedParameters()].map(([name]) => name);
  const lastLayer = encoder.config.numHiddenLayers - 1;
  return {
    dtype,
    aliases: Object.fromEntries(names.map((name) => [name, [prefix + name]])),
    ignored: [
      // Behind the layer whose states are taken.
      new RegExp(String.raw`^(vision_model\.)?encoder\.layers\.${lastLayer}\.`),
      /^(vision_model\.)?post_layernorm\./,
      "visual_projection.weight",
      // 0, 1, 2, …, which old checkpoints store.
      /^(vision_model\.)?embeddings\.position_ids$/,
      // The rest of a whole CLIP.
      /^text_model\./,
      "text_projection.weight",
      "logit_scale",
    ],
  };
}

/** What a CLIP image encoder will ask of attention, known before its weights load. */
export function clipVisionAttentionRequests(
  config: ClipVisionConfig,
  dtype: DType,
  device: Device,
): AttentionRequest[] {
  const headDim = config.hiddenSize / config.numAttentionHeads;
  return [{ device, dtype, headDim, mask: false, logSumExp: false }];
}

/**
 * A CLIP image encoder with weights from a checkpoint. The caller disposes it.
 *
 * @throws {StateError} with every tensor that is missing, unexpected or misfitting.
 */
export function loadClipVisionEncoder(
  config: ClipVisionConfig,
  source: TensorSource,
  options: { readonly dtype: DType; readonly attention: AttentionDispatcher },
): ClipVisionEncoder {
  const encoder = new ClipVisionEncoder(config, options.attention);
  try {
    loadParameters(encoder, source, clipVisionLoadOptions(encoder, options.dtype));
  } catch (error) {
    encoder.dispose();
    throw error;
  }
  return encoder;
}
