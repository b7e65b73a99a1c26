import { describe, expect, test } from "bun:test";
import { parseClipVisionConfig } from "./config.ts";

const file = "image_encoder/config.json";

/** As published with Wan2.1-I2V-14B (CLIP ViT-H/14). */
const vitHuge = {
  architectures: ["CLIPVisionModelWithProjection"],
  attention_dropout: 0.0,
  dropout: 0.0,
  hidden_act: "gelu",
  hidden_size: 1280,
  image_size: 224,
  initializer_factor: 1.0,
  initializer_range: 0.02,
  intermediate_size: 5120,
  layer_norm_eps: 1e-5,
  model_type: "clip_vision_model",
  num_attention_heads: 16,
  num_channels: 3,
  num_hidden_layers: 32,
  patch_size: 14,
  projection_dim: 1024,
  torch_dtype: "float32",
};

const parsed = {
  hiddenSize: 1280,
  intermediateSize: 5120,
  numHiddenLayers: 32,
  numAttentionHeads: 16,
  numChannels: 3,
  imageSize: 224,
  patchSize: 14,
  hiddenAct: "gelu",
  layerNormEps: 1e-5,
} as const;

describe("parseClipVisionConfig", () => {
  test("reads a vision model's in camelCase", () => {
    expect(parseClipVisionConfig(vitHuge, file)).toEqual(parsed);
  });

  test("reads the vision part of a whole CLIP model's, with transformers' defaults for absent keys", () => {
    const { layer_norm_eps: _, ...sparse } = vitHuge;
    expect(
      parseClipVisionConfig({ model_type: "clip", text_config: {}, vision_config: sparse }, file),
    ).toEqual(parsed);
  });

  test.each([
    ["hidden_act", "relu", '"gelu" or "quick_gelu"'],
    ["num_attention_heads", 24, "a divisor of hidden_size 1280"],
    ["patch_size", 225, "at most image_size 224"],
    ["num_channels", 4, "an integer from 3 to 3, as images are red, green and blue"],
    ["image_size", 1e6, "an integer from 1 to 16384"],
    ["model_type", "siglip_vision_model", '"clip_vision_model"'],
  ])("refuses %s %p", (key, value, allowed) => {
    const message = `${key} is ${JSON.stringify(value)}, but must be ${allowed}`;
    expect(() => parseClipVisionConfig({ ...vitHuge, [key]: value }, file)).toThrow(`${file}: ${message}`);
    if (key === "model_type") return;
    const nested = { model_type: "clip", vision_config: { ...vitHuge, [key]: value } };
    expect(() => parseClipVisionConfig(nested, file)).toThrow(`${file}: vision_config.${message}`);
  });

  test("refuses a whole CLIP model's without a vision part", () => {
    expect(() => parseClipVisionConfig({ model_type: "clip" }, file)).toThrow(
      `${file}: vision_config is missing, but must be a JSON object`,
    );
  });
});
