import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConfigError } from "../config-error.ts";
import { parseTransformerConfig } from "./config.ts";

const file = "transformer/config.json";

/** As published with Wan2.1-T2V-1.3B. */
const textToVideo = {
  _class_name: "WanTransformer3DModel",
  _diffusers_version: "0.33.0.dev0",
  added_kv_proj_dim: null,
  attention_head_dim: 128,
  cross_attn_norm: true,
  eps: 1e-6,
  ffn_dim: 8960,
  freq_dim: 256,
  in_channels: 16,
  num_attention_heads: 12,
  num_layers: 30,
  out_channels: 16,
  patch_size: [1, 2, 2],
  qk_norm: "rms_norm_across_heads",
  text_dim: 4096,
};

/** As published with Wan2.1-FLF2V-14B. */
const firstLastFrame = {
  ...textToVideo,
  added_kv_proj_dim: 5120,
  ffn_dim: 13_824,
  image_dim: 1280,
  in_channels: 36,
  num_attention_heads: 40,
  num_layers: 40,
  pos_embed_seq_len: 514,
  rope_max_seq_len: 1024,
};

function refusal(change: Record<string, unknown>): ConfigError {
  try {
    parseTransformerConfig({ ...firstLastFrame, ...change }, file);
  } catch (error) {
    if (ConfigError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("the config was taken");
}

describe("parseTransformerConfig", () => {
  test("reads a text-to-video config in camelCase, with diffusers' defaults for absent keys", () => {
    expect(parseTransformerConfig(textToVideo, file)).toEqual({
      patchSize: [1, 2, 2],
      numAttentionHeads: 12,
      attentionHeadDim: 128,
      inChannels: 16,
      outChannels: 16,
      textDim: 4096,
      freqDim: 256,
      ffnDim: 8960,
      numLayers: 30,
      crossAttnNorm: true,
      qkNorm: "rms_norm_across_heads",
      eps: 1e-6,
      imageDim: null,
      addedKvProjDim: null,
      ropeMaxSeqLen: 1024,
      posEmbedSeqLen: null,
      quantization: null,
    });
  });

  test("reads the image keys and positions of first-last-frame", () => {
    expect(parseTransformerConfig(firstLastFrame, file)).toMatchObject({
      imageDim: 1280,
      addedKvProjDim: 5120,
      posEmbedSeqLen: 514,
      inChannels: 36,
      outChannels: 16,
    });
  });

  test("predicts as many channels as it takes where out_channels is null", () => {
    expect(parseTransformerConfig({ ...textToVideo, out_channels: null }, file).outChannels).toBe(16);
  });

  test.each([
    ["num_layers", 100_000, "an integer from 1 to 1000"],
    ["num_layers", 0, "an integer from 1 to 1000"],
    ["num_layers", 1.5, "an integer from 1 to 1000"],
    ["num_layers", "30", "an integer from 1 to 1000"],
    ["ffn_dim", 65_537, "an integer from 1 to 65536"],
    ["attention_head_dim", 127, "an even integer from 6 to 256"],
    ["attention_head_dim", 258, "an even integer from 6 to 256"],
    ["freq_dim", 255, "an even integer from 2 to 65536"],
    ["eps", 0, "a number above 0 and at most 0.1"],
    ["qk_norm", "layer_norm", '"rms_norm_across_heads"'],
    ["qk_norm", null, '"rms_norm_across_heads"'],
    ["cross_attn_norm", 1, "true or false"],
    ["patch_size", [1, 2], "three integers [frames, height, width] from 1 to 16"],
    ["patch_size", 2, "three integers [frames, height, width] from 1 to 16"],
    ["_class_name", "WanVACETransformer3DModel", '"WanTransformer3DModel"'],
    ["image_dim", 2.5, "an integer from 1 to 65536"],
    ["pos_embed_seq_len", 257, "an even integer from 2 to 1048576"],
  ])("refuses %s %p", (key, value, allowed) => {
    expect(refusal({ [key]: value }).problems).toEqual([{ key, found: JSON.stringify(value), allowed }]);
  });

  test("reads how weights are stored quantized", () => {
    const stored = { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4" };
    expect(
      parseTransformerConfig({ ...textToVideo, quantization_config: stored }, file).quantization,
    ).toEqual({
      kind: "nf4",
      doubleQuantization: false,
      computeDtype: "float32",
    });
    const error = refusal({ quantization_config: { ...stored, bnb_4bit_quant_type: "fp4" } });
    expect(error.message).toBe(
      `transformer/config.json: quantization_config.bnb_4bit_quant_type is "fp4", but must be "nf4": weights in other 4-bit types can't be loaded`,
    );
  });

  test("names the element of a list", () => {
    const error = refusal({ patch_size: [1, 2, 17] });
    expect(error.message).toBe(
      "transformer/config.json: patch_size[2] is 17, but must be an integer from 1 to 16",
    );
  });

  test("tells all problems together", () => {
    expect(refusal({ num_layers: -1, eps: null }).problems.map(({ key }) => key)).toEqual([
      "num_layers",
      "eps",
    ]);
  });

  test("refuses image keys of another width than the embedded image tokens", () => {
    expect(refusal({ added_kv_proj_dim: 1280 }).message).toBe(
      "transformer/config.json: added_kv_proj_dim is 1280, but must be " +
        "num_attention_heads × attention_head_dim = 5120, as image_dim is 1280",
    );
    expect(refusal({ added_kv_proj_dim: null }).problems).toMatchObject([{ key: "added_kv_proj_dim" }]);
  });

  test("refuses image keys and image positions without an image encoder", () => {
    expect(refusal({ image_dim: null }).problems).toMatchObject([
      { key: "added_kv_proj_dim", found: "5120", allowed: "null, as image_dim is null" },
      { key: "pos_embed_seq_len", found: "514", allowed: "null, as image_dim is null" },
    ]);
  });

  test("refuses heads that together are too wide", () => {
    expect(
      refusal({
        num_attention_heads: 1000,
        added_kv_proj_dim: null,
        image_dim: null,
        pos_embed_seq_len: null,
      }).problems,
    ).toEqual([
      { key: "num_attention_heads", found: "1000", allowed: "at most 512 with attention_head_dim 128" },
    ]);
  });

  test.each([[null], [[]], ["text"], [3]])("refuses %p for a whole config", (json) => {
    expect(() => parseTransformerConfig(json, file)).toThrow(
      `transformer/config.json: the file is ${JSON.stringify(json)}, but must be a JSON object`,
    );
  });

  test("answers any JSON with a bounded config or a ConfigError", () => {
    const keys = Object.keys(firstLastFrame);
    fc.assert(
      fc.property(fc.constantFrom(...keys), fc.jsonValue(), (key, value) => {
        try {
          const config = parseTransformerConfig({ ...firstLastFrame, [key]: value }, file);
          expect(config.numAttentionHeads * config.attentionHeadDim).toBeLessThanOrEqual(65_536);
          expect(config.attentionHeadDim % 2).toBe(0);
        } catch (error) {
          if (!ConfigError.isInstance(error)) throw error;
          expect(error.problems.length).toBeGreaterThan(0);
        }
      }),
    );
  });
});
