import { storedQuantizationSchema } from "@wan-ts/quantization";
import { z } from "zod";
import {
  acrossKeys,
  camelCased,
  epsilon,
  evenInteger,
  flag,
  integer,
  maxHeads,
  maxLayers,
  maxWidth,
  oneOf,
  parseConfig,
  width,
} from "../config-schema.ts";

const patchSizeAllowed = "three integers [frames, height, width] from 1 to 16";
const patchExtent = integer(1, 16);

/**
 * `config.json` of a diffusers `WanTransformer3DModel` (Wan 2.1, FLF2V, Wan 2.2). Keys that a file
 * leaves out have the defaults of that class; keys that it has beside these are left out.
 * After diffusers `models/transformers/transformer_wan.py`.
 */
export const transformerConfigSchema = z
  .object(
    {
      _class_name: oneOf(["WanTransformer3DModel"]).optional(),
      /** How the weights are stored, where they are quantized. */
      quantization_config: storedQuantizationSchema.nullish(),
      /** Extent of a token in latent frames, rows and columns. */
      patch_size: z
        .tuple([patchExtent, patchExtent, patchExtent], { error: patchSizeAllowed })
        .default([1, 2, 2]),
      num_attention_heads: integer(1, maxHeads).default(40),
      /** From 6, so that each of the three axes turns at least one pair. */
      attention_head_dim: evenInteger(6, 256).default(128),
      /** Channels of the input: latents and, for image to video, mask and condition. */
      in_channels: width().default(16),
      /** Channels of the prediction. `null` means as many as `in_channels`. */
      out_channels: width().nullable().default(16),
      /** Width of a text encoder state. */
      text_dim: width().default(4096),
      /** Width of the sinusoidal time embedding. */
      freq_dim: evenInteger(2, maxWidth).default(256),
      ffn_dim: width().default(13_824),
      num_layers: integer(1, maxLayers).default(40),
      /** Whether the norm before cross-attention has weights. Without, there is no such norm. */
      cross_attn_norm: flag().default(true),
      qk_norm: oneOf(["rms_norm_across_heads"]).default("rms_norm_across_heads"),
      eps: epsilon().default(1e-6),
      /** Width of an image encoder state, where image tokens are attended to. */
      image_dim: width().nullable().default(null),
      /** Width of the embedded image tokens, where they have keys and values of their own. */
      added_kv_proj_dim: width().nullable().default(null),
      /** Longest extent of each axis, in tokens, that has a rotary position. */
      rope_max_seq_len: integer(1, 1_048_576).default(1024),
      /** Image tokens that have a learned position: those of first and last frame (FLF2V). */
      pos_embed_seq_len: evenInteger(2, 1_048_576).nullable().default(null),
    },
    { error: "a JSON object" },
  )
  .superRefine(
    acrossKeys((config, report) => {
      const innerDim = config.num_attention_heads * config.attention_head_dim;
      if (innerDim > maxWidth) {
        const most = Math.floor(maxWidth / config.attention_head_dim);
        report("num_attention_heads", `at most ${most} with attention_head_dim ${config.attention_head_dim}`);
      }
      if (config.image_dim === null && config.added_kv_proj_dim !== null) {
        report("added_kv_proj_dim", "null, as image_dim is null");
      }
      if (config.image_dim !== null && config.added_kv_proj_dim !== innerDim) {
        report(
          "added_kv_proj_dim",
          `num_attention_heads × attention_head_dim = ${innerDim}, as image_dim is ${config.image_dim}`,
        );
      }
      if (config.image_dim === null && config.pos_embed_seq_len !== null) {
        report("pos_embed_seq_len", "null, as image_dim is null");
      }
    }),
  )
  .transform((config) => ({
    ...camelCased(config),
    outChannels: config.out_channels ?? config.in_channels,
    quantization: config.quantization_config ?? null,
  }));

/** A checked {@link transformerConfigSchema}, in camelCase; `outChannels` is always a number. */
export type TransformerConfig = z.output<typeof transformerConfigSchema>;

/**
 * Parses the content of a Wan transformer's `config.json`; `file` names it in errors.
 *
 * @throws ConfigError
 */
export function parseTransformerConfig(json: unknown, file: string): TransformerConfig {
  return parseConfig(transformerConfigSchema, json, file);
}
