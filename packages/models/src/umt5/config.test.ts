import { describe, expect, test } from "bun:test";
import { ConfigError } from "../config-error.ts";
import { parseUmt5Config } from "./config.ts";

const file = "text_encoder/config.json";

/** As published with Wan2.1 (umt5-xxl). */
const umt5Xxl = {
  architectures: ["UMT5EncoderModel"],
  classifier_dropout: 0.0,
  d_ff: 10_240,
  d_kv: 64,
  d_model: 4096,
  decoder_start_token_id: 0,
  dense_act_fn: "gelu_new",
  dropout_rate: 0.1,
  eos_token_id: 1,
  feed_forward_proj: "gated-gelu",
  is_encoder_decoder: true,
  is_gated_act: true,
  layer_norm_epsilon: 1e-6,
  model_type: "umt5",
  num_decoder_layers: 24,
  num_heads: 64,
  num_layers: 24,
  output_past: true,
  pad_token_id: 0,
  relative_attention_max_distance: 128,
  relative_attention_num_buckets: 32,
  scalable_attention: true,
  tie_word_embeddings: false,
  tokenizer_class: "T5Tokenizer",
  torch_dtype: "bfloat16",
  use_cache: true,
  vocab_size: 256_384,
};

describe("parseUmt5Config", () => {
  test("reads umt5-xxl's in camelCase", () => {
    expect(parseUmt5Config(umt5Xxl, file)).toEqual({
      vocabSize: 256_384,
      dModel: 4096,
      dKv: 64,
      dFf: 10_240,
      numLayers: 24,
      numHeads: 64,
      relativeAttentionNumBuckets: 32,
      relativeAttentionMaxDistance: 128,
      layerNormEpsilon: 1e-6,
      feedForwardProj: "gated-gelu",
      quantization: null,
    });
  });

  test.each([
    ["model_type", "t5", '"umt5"'],
    ["feed_forward_proj", "relu", '"gated-gelu"'],
    ["vocab_size", 1e9, "an integer from 1 to 4194304"],
    ["d_model", -1, "an integer from 1 to 65536"],
    ["num_heads", 1025, "an integer from 1 to 1024"],
    ["d_kv", 1024, "at most 64 with d_kv 1024"],
    ["layer_norm_epsilon", "1e-6", "a number above 0 and at most 0.1"],
    ["relative_attention_num_buckets", 31, "an even integer from 4 to 65536"],
    ["relative_attention_max_distance", 8, "above relative_attention_num_buckets / 4 = 8"],
    ["quantization_config", "nf4", /^a JSON object/],
  ])("refuses %s %p", (key, value, allowed) => {
    let caught: unknown;
    try {
      parseUmt5Config({ ...umt5Xxl, [key]: value, ...(key === "d_kv" ? { num_heads: 65 } : {}) }, file);
    } catch (error) {
      caught = error;
    }
    if (!ConfigError.isInstance(caught)) throw new Error("the config was taken", { cause: caught });
    expect(caught.file).toBe(file);
    expect(caught.problems).toHaveLength(1);
    expect(caught.problems[0]?.key).toBe(key === "d_kv" ? "num_heads" : key);
    expect(caught.problems[0]?.allowed).toMatch(allowed);
  });

  test("refuses a file without a model_type", () => {
    const { model_type: _, ...anonymous } = umt5Xxl;
    expect(() => parseUmt5Config(anonymous, file)).toThrow(
      'text_encoder/config.json: model_type is missing, but must be "umt5"',
    );
  });
});
