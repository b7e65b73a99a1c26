import { describe, expect, test } from "bun:test";
import { type DType, memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { expectClose, float32Tolerance, relativeL2 } from "../testing/expect-close.ts";
import { KernelAttention, kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseUmt5Config } from "./config.ts";
import { loadUmt5Encoder, umt5AttentionRequests } from "./load-umt5.ts";

const fixture = readFixture("umt5");
const config = parseUmt5Config(fixture.config, "config.json");
const load = (dtype: DType, changes: Record<string, Tensor | undefined> = {}) =>
  loadUmt5Encoder(config, fixture.checkpoint(changes), { dtype, attention: kernelDispatcher() });
const inputs = () => ({
  inputIds: fixture.tensor("inputs/input_ids"),
  attentionMask: fixture.tensor("inputs/attention_mask"),
});

describe.each(["float32", "bfloat16", "float16"] as const)("Umt5Encoder in %s", (dtype) => {
  test("encodes what transformers does, one of two texts padded", () => {
    scope(() => {
      using encoder = load(dtype);
      expectClose(fixture, "output.0", dtype, encoder.call(inputs()));
    });
  });

  test("norms and feed-forward of a layer are transformers'", () => {
    scope(() => {
      using encoder = load(dtype);
      const { attentionNorm, feedForwardNorm, feedForward } = encoder.blocks.items[0]!;
      const norm = "encoder.block.0.layer.0.layer_norm";
      const normed = attentionNorm.call({ input: fixture.tensor(`${dtype}/${norm}/input`) });
      expectClose(fixture, `${norm}/output.0`, dtype, normed);

      const layer = "encoder.block.0.layer.1";
      const input = fixture.tensor(`${dtype}/${layer}/input`);
      const update = feedForward.call({ input: feedForwardNorm.call({ input }) });
      using wanted = fixture.tensor(`${dtype}/${layer}/output.0`);
      const [states, updates] = [input.floatsBlocking(), update.floatsBlocking()];
      const sums = Tensor.from(
        states.map((state, index) => state + updates[index]!),
        wanted.shape,
      ).to(wanted.dtype);
      expectClose(fixture, `${layer}/output.0`, dtype, sums);
    });
  });
});

describe("Umt5Encoder", () => {
  test("takes every token for text where there is no mask", () => {
    scope(() => {
      using encoder = load("float32");
      const { inputIds, attentionMask } = inputs();
      const whole = encoder.call({ inputIds });
      expectClose(fixture, "unmasked/output.0", "float32", whole);
      const masked = encoder.call({ inputIds, attentionMask });
      expect(relativeL2(masked.floatsBlocking(), whole.floatsBlocking())).toBeGreaterThan(0.01);
    });
  });

  test("sends its attention to the backend that is set", () => {
    scope(() => {
      using encoder = load("float32");
      const backend = new KernelAttention("recording");
      encoder.setAttentionBackend(backend);
      encoder.call(inputs());
      expect(backend.keyShapes).toEqual([1, 2, 3].map(() => [2, 17, 3, 6]));
    });
  });

  test("takes int32 tokens and uint8 masks too", () => {
    scope(() => {
      using encoder = load("float32");
      const { inputIds, attentionMask } = inputs();
      const expected = encoder.call({ inputIds, attentionMask }).floatsBlocking();
      const found = encoder.call({
        inputIds: inputIds.to("int32"),
        attentionMask: attentionMask.to("uint8"),
      });
      expect(found.floatsBlocking()).toEqual(expected);
    });
  });

  test("encodes a text the same with padding behind it as without", () => {
    scope(() => {
      using encoder = load("float32");
      const { inputIds, attentionMask } = inputs();
      const padded = encoder.call({ inputIds, attentionMask }).slice(0, 1, 2).slice(1, 0, 6);
      const alone = encoder.call({ inputIds: inputIds.slice(0, 1, 2).slice(1, 0, 6) });
      expect(relativeL2(alone.floatsBlocking(), padded.floatsBlocking())).toBeLessThan(float32Tolerance);
    });
  });

  test("keeps wo in float32 in float16 alone", () => {
    for (const [dtype, wanted] of [
      ["float16", "float32"],
      ["bfloat16", "bfloat16"],
    ] as const) {
      using encoder = load(dtype);
      const parameters = new Map(encoder.namedParameters());
      const wo = parameters.get("encoder.block.0.layer.1.DenseReluDense.wo.weight");
      expect(wo?.value.dtype).toBe(wanted);
      expect(encoder.shared.weight.value.dtype).toBe(dtype);
    }
  });

  test("loads token embeddings by their tied name, and passes over a decoder", () => {
    scope(() => {
      const shared = fixture.tensor("weights/shared.weight");
      using encoder = load("float32", {
        "shared.weight": undefined,
        "encoder.embed_tokens.weight": shared,
        "decoder.final_layer_norm.weight": Tensor.zeros([24]),
        "lm_head.weight": Tensor.zeros([50, 24]),
      });
      expect(encoder.shared.weight.value.floatsBlocking()).toEqual(shared.floatsBlocking());
    });
  });

  test("keeps nothing after a forward pass", () => {
    scope(() => {
      using encoder = load("bfloat16");
      const input = inputs();
      synchronizeBlocking();
      const before = memory().liveStorages;
      encoder.call(input).dispose();
      synchronizeBlocking();
      expect(memory().liveStorages).toBe(before);
    });
  });

  test("refuses a mask of another shape, and tokens outside the vocabulary", () => {
    scope(() => {
      using encoder = load("float32");
      const { inputIds, attentionMask } = inputs();
      expect(() => encoder.call({ inputIds, attentionMask: attentionMask.slice(1, 0, 3) })).toThrow(
        "attentionMask must be [2, 17], as inputIds, but is [2, 3]",
      );
      const outside = encoder.call({ inputIds: Tensor.from([50], [1, 1], "int32") });
      expect(() => outside.floatsBlocking()).toThrow("50");
    });
  });

  test("asks attention for a mask", () => {
    expect(umt5AttentionRequests(config, "float32", "cpu")).toEqual([
      { device: "cpu", dtype: "float32", headDim: 6, mask: true, logSumExp: false },
    ]);
  });
});
