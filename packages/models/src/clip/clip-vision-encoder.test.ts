import { describe, expect, test } from "bun:test";
import { type DType, memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { expectClose } from "../testing/expect-close.ts";
import { KernelAttention, kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseClipVisionConfig } from "./config.ts";
import { clipVisionAttentionRequests, loadClipVisionEncoder } from "./load-clip-vision.ts";

function load(name: string, dtype: DType, changes: Record<string, Tensor | undefined> = {}) {
  const fixture = readFixture(name);
  const config = parseClipVisionConfig(fixture.config, name);
  const options = { dtype, attention: kernelDispatcher() };
  const encoder = loadClipVisionEncoder(config, fixture.checkpoint(changes), options);
  return { fixture, config, encoder };
}

describe.each(["float32", "bfloat16"] as const)("ClipVisionEncoder in %s", (dtype) => {
  test.each(["clip-vision", "clip-vision-projection"])("encodes what transformers does: %s", (name) => {
    scope(() => {
      const { fixture, encoder } = load(name, dtype);
      using _ = encoder;
      const pixelValues = fixture.tensor("inputs/pixel_values").to(dtype);
      expectClose(fixture, "output.0", dtype, encoder.call({ pixelValues }));
    });
  });
});

describe("ClipVisionEncoder", () => {
  test("does without the last layer and the norm behind it", () => {
    scope(() => {
      const { fixture, encoder } = load("clip-vision", "float32", {
        "encoder.layers.2.mlp.fc1.weight": undefined,
        "post_layernorm.weight": undefined,
      });
      using _ = encoder;
      expect(encoder.layers.length).toBe(2);
      const pixelValues = fixture.tensor("inputs/pixel_values");
      expectClose(fixture, "output.0", "float32", encoder.call({ pixelValues }));
    });
  });

  test("sends its attention to the backend that is set", () => {
    scope(() => {
      const { fixture, encoder } = load("clip-vision", "float32");
      using _ = encoder;
      const backend = new KernelAttention("recording");
      encoder.setAttentionBackend(backend);
      encoder.call({ pixelValues: fixture.tensor("inputs/pixel_values") });
      expect(backend.keyShapes).toEqual([1, 2].map(() => [2, 10, 2, 12]));
    });
  });

  test("passes over the rest of a whole CLIP, and nothing else", () => {
    scope(() => {
      const rest = {
        "text_model.embeddings.token_embedding.weight": Tensor.zeros([2, 2]),
        "text_projection.weight": Tensor.zeros([2, 2]),
        "visual_projection.weight": Tensor.zeros([2, 2]),
        "vision_model.embeddings.position_ids": Tensor.zeros([1, 10], "int64"),
        logit_scale: Tensor.zeros([]),
      };
      load("clip-vision-projection", "float32", rest).encoder.dispose();
      const stranger = { "vision_model.encoder.layers.3.layer_norm1.weight": Tensor.zeros([24]) };
      expect(() => load("clip-vision-projection", "float32", stranger)).toThrow(
        "vision_model.encoder.layers.3.layer_norm1.weight [24] is unexpected",
      );
    });
  });

  test("keeps nothing after a forward pass", () => {
    scope(() => {
      const { fixture, encoder } = load("clip-vision", "bfloat16");
      using _ = encoder;
      const pixelValues = fixture.tensor("inputs/pixel_values").to("bfloat16");
      synchronizeBlocking();
      const before = memory().liveStorages;
      encoder.call({ pixelValues }).dispose();
      synchronizeBlocking();
      expect(memory().liveStorages).toBe(before);
    });
  });

  test("refuses images of another size", () => {
    scope(() => {
      const { encoder } = load("clip-vision", "float32");
      using _ = encoder;
      expect(() => encoder.call({ pixelValues: Tensor.zeros([1, 3, 14, 16]) })).toThrow(
        "pixelValues must be [B, 3, 14, 14], but is [1, 3, 14, 16]",
      );
    });
  });

  test("asks attention for the head size of the config", () => {
    const { config, encoder } = load("clip-vision", "float32");
    encoder.dispose();
    expect(clipVisionAttentionRequests(config, "float32", "cpu")).toEqual([
      { device: "cpu", dtype: "float32", headDim: 12, mask: false, logSumExp: false },
    ]);
  });
});
