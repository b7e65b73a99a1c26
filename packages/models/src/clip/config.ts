import { z } from "zod";
import {
  acrossKeys,
  camelCased,
  epsilon,
  integer,
  maxHeads,
  maxLayers,
  noQuantization,
  oneOf,
  parseConfig,
  width,
} from "../config-schema.ts";

/**
 * The vision part of a transformers CLIP config. Keys that a file leaves out have the defaults of
 * `CLIPVisionConfig`; keys that it has beside these (projection, dropout) are left out.
 * After transformers `models/clip/configuration_clip.py`.
 */
export const clipVisionConfigSchema = z
  .object(
    {
      model_type: oneOf(["clip_vision_model"]).optional(),
      quantization_config: noQuantization(),
      /** Width of a state. */
      hidden_size: width().default(768),
      /** Width inside the feed-forward. */
      intermediate_size: width().default(3072),
      num_hidden_layers: integer(1, maxLayers).default(12),
      num_attention_heads: integer(1, maxHeads).default(12),
      num_channels: integer(3, 3, "as images are red, green and blue").default(3),
      /** Height and width of the input, in pixels. */
      image_size: integer(1, 16_384).default(224),
      /** Height and width of a token, in pixels. */
      patch_size: integer(1, 16_384).default(32),
      hidden_act: oneOf(["gelu", "quick_gelu"]).default("quick_gelu"),
      layer_norm_eps: epsilon().default(1e-5),
    },
    { error: "a JSON object" },
  )
  .superRefine(
    acrossKeys((config, report) => {
      if (config.hidden_size % config.num_attention_heads !== 0) {
        report("num_attention_heads", `a divisor of hidden_size ${config.hidden_size}`);
      }
      if (config.patch_size > config.image_size) {
        report("patch_size", `at most image_size ${config.image_size}`);
      }
    }),
  )
  .transform(camelCased);

/** A checked {@link clipVisionConfigSchema}, in camelCase. */
export type ClipVisionConfig = z.output<typeof clipVisionConfigSchema>;

/**
 * Parses the content of a CLIP image encoder's `config.json`; `file` names it in errors. A
 * `CLIPVisionModel` or `CLIPVisionModelWithProjection` has its keys at the top; a whole
 * `CLIPModel` (`model_type` "clip") has them under `vision_config`.
 *
 * @throws ConfigError
 */
export function parseClipVisionConfig(json: unknown, file: string): ClipVisionConfig {
  const whole = z.object({ model_type: z.literal("clip") }).safeParse(json);
  if (!whole.success) return parseConfig(clipVisionConfigSchema, json, file);
  const nested = z.object({ quantization_config: noQuantization(), vision_config: clipVisionConfigSchema });
  return parseConfig(nested, json, file).vision_config;
}
