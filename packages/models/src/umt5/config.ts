import { storedQuantizationSchema } from "@wan-ts/quantization";
import { z } from "zod";
import {
  acrossKeys,
  camelCased,
  epsilon,
  evenInteger,
  integer,
  maxHeads,
  maxLayers,
  maxWidth,
  oneOf,
  parseConfig,
  width,
} from "../config-schema.ts";

/**
 * `config.json` of a transformers `UMT5EncoderModel`. Keys that a file leaves out have the defaults
 * of `UMT5Config`; keys that it has beside these (the decoder's, dropout) are left out.
 * After transformers `models/umt5/configuration_umt5.py`.
 */
export const umt5ConfigSchema = z
  .object(
    {
      /** T5 of another `model_type` shares one position bias among its layers: not the same model. */
      model_type: oneOf(["umt5"]),
      /** How the weights are stored, where they are quantized. */
      quantization_config: storedQuantizationSchema.nullish(),
      vocab_size: integer(1, 4_194_304).default(250_112),
      /** Width of a state. */
      d_model: width().default(512),
      /** Width of a head's query, key and value. */
      d_kv: integer(1, 1024).default(64),
      /** Width inside the feed-forward. */
      d_ff: width().default(1024),
      num_layers: integer(1, maxLayers).default(8),
      num_heads: integer(1, maxHeads).default(6),
      /** Buckets of the relative position bias, half of them for each direction. */
      relative_attention_num_buckets: evenInteger(4, 65_536).default(32),
      /** Distance in tokens from which all share the last bucket. */
      relative_attention_max_distance: integer(2, 1_048_576).default(128),
      layer_norm_epsilon: epsilon().default(1e-6),
      /** `gated-gelu`: tanh-GELU of one product times another. */
      feed_forward_proj: oneOf(["gated-gelu"]).default("gated-gelu"),
    },
    { error: "a JSON object" },
  )
  .superRefine(
    acrossKeys((config, report) => {
      if (config.num_heads * config.d_kv > maxWidth) {
        report("num_heads", `at most ${Math.floor(maxWidth / config.d_kv)} with d_kv ${config.d_kv}`);
      }
      // Buckets beyond this many grow with the logarithm of the distance up to the greatest.
      const exactBuckets = Math.floor(config.relative_attention_num_buckets / 4);
      if (config.relative_attention_max_distance <= exactBuckets) {
        report(
          "relative_attention_max_distance",
          `above relative_attention_num_buckets / 4 = ${exactBuckets}`,
        );
      }
    }),
  )
  .transform((config) => ({ ...camelCased(config), quantization: config.quantization_config ?? null }));

/** A checked {@link umt5ConfigSchema}, in camelCase. */
export type Umt5Config = z.output<typeof umt5ConfigSchema>;

/**
 * Parses the content of a UMT5 encoder's `config.json`; `file` names it in errors.
 *
 * @throws ConfigError
 */
export function parseUmt5Config(json: unknown, file: string): Umt5Config {
  return parseConfig(umt5ConfigSchema, json, file);
}
