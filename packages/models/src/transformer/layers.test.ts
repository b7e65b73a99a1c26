import { describe, expect, test } from "bun:test";
import { type DType, memory, scope, synchronizeBlocking, type Tensor } from "@wan-ts/tensor";
import { expectClose } from "../testing/expect-close.ts";
import { type FixtureTransformer, fixtureTransformer } from "../testing/fixture-transformer.ts";
import { WanRotaryEmbedding } from "./rotary-embedding.ts";
import { timestepEmbedding } from "./timestep-embedding.ts";

const textToVideo = "transformer-text-to-video";
const imageToVideo = "transformer-image-to-video";
const firstLastFrame = "transformer-first-last-frame";

/** cos or sin of pairs as diffusers holds it: (1, S, 1, D), each value twice. */
function twice(table: Tensor): Tensor {
  const [, tokens, pairs] = table.shape as readonly [number, number, number];
  return table
    .unsqueeze(-1)
    .expand([1, tokens, pairs, 2])
    .reshape([1, tokens, 1, 2 * pairs]);
}

/** Runs `body` on a loaded fixture and frees everything after. */
function on(name: string, dtype: DType, body: (loaded: FixtureTransformer) => void): void {
  scope(() => {
    using loaded = fixtureTransformer(name, dtype);
    body(loaded);
  });
}

describe("timestepEmbedding", () => {
  test("has cosines before sines, and one row a timestep", () => {
    using embedded = timestepEmbedding([0, 1], 4);
    expect(embedded.shape).toEqual([2, 4]);
    const fast = Math.fround(Math.exp(Math.fround(-Math.log(10_000) / 2)));
    const expected = [1, 1, 0, 0, Math.cos(1), Math.cos(fast), Math.sin(1), Math.sin(fast)];
    expect([...embedded.floatsBlocking()]).toEqual(expected.map(Math.fround));
  });
});

describe("WanRotaryEmbedding", () => {
  const cases: [string, { frames: number; height: number; width: number }][] = [
    [textToVideo, { frames: 3, height: 3, width: 5 }],
    [firstLastFrame, { frames: 2, height: 3, width: 3 }],
  ];

  test.each(cases)("turns as diffusers does: %s", (name, grid) => {
    on(name, "float32", ({ model, fixture }) => {
      const { cos, sin } = model.rope.call(grid);
      expectClose(fixture, "rope/output.0", "float32", twice(cos));
      expectClose(fixture, "rope/output.1", "float32", twice(sin));
    });
  });

  test("shares a head of 128 out as 22 pairs to frames, 21 to rows and 21 to columns", () => {
    using rope = new WanRotaryEmbedding({ attentionHeadDim: 128, ropeMaxSeqLen: 1024 });
    scope(() => {
      const { cos, sin } = rope.call({ frames: 2, height: 2, width: 2 });
      expect(cos.shape).toEqual([1, 8, 64]);
      const turnedPairs = (token: number) =>
        [...sin.select(1, token).floatsBlocking()].flatMap((value, pair) => (value === 0 ? [] : [pair]));
      const pairs = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
      expect(turnedPairs(0)).toEqual([]);
      expect(turnedPairs(4)).toEqual(pairs(0, 22)); // Second frame, first row and column.
      expect(turnedPairs(2)).toEqual(pairs(22, 43)); // Second row.
      expect(turnedPairs(1)).toEqual(pairs(43, 64)); // Second column.
    });
  });

  test("holds the tables of the last two sizes, whoever disposes what it was given", () => {
    const rope = new WanRotaryEmbedding({ attentionHeadDim: 12, ropeMaxSeqLen: 8 });
    synchronizeBlocking();
    const before = memory().liveStorages;
    const held = (frames: number) => {
      scope(() => {
        rope.call({ frames, height: 2, width: 2 });
      });
      synchronizeBlocking();
      return memory().liveStorages - before;
    };
    expect([1, 2, 2, 1, 3, 4].map(held)).toEqual([2, 4, 4, 4, 4, 4]);
    rope.dispose();
    expect(memory().liveStorages).toBe(before);
  });
});

describe.each(["float32", "bfloat16"] as const)("in %s", (dtype) => {
  test.each([textToVideo, imageToVideo, firstLastFrame])("ConditionEmbedder of %s", (name) => {
    on(name, dtype, ({ model, fixture, input }) => {
      const { conditionEmbedder } = model;
      const { temb, timestepProj } = conditionEmbedder.call({ timestep: input.timestep, dtype });
      const batch = input.timestep.length;
      const path = "condition_embedder";
      expectClose(fixture, `${path}/output.0`, dtype, temb.reshape([batch, -1]));
      expectClose(fixture, `${path}/output.1`, dtype, timestepProj.reshape([batch, -1]));
      const text = fixture.tensor("inputs/encoder_hidden_states").to(dtype);
      expectClose(fixture, `${path}/output.2`, dtype, conditionEmbedder.textEmbedder.call({ input: text }));
      if (conditionEmbedder.imageEmbedder) {
        const image = fixture.tensor("inputs/encoder_hidden_states_image").to(dtype);
        const embedded = conditionEmbedder.imageEmbedder.call({ input: image });
        expectClose(fixture, `${path}/output.3`, dtype, embedded);
      }
    });
  });

  test("SelfAttention", () => {
    on(textToVideo, dtype, ({ model, fixture }) => {
      const rotary = model.rope.call({ frames: 3, height: 3, width: 5 });
      const hiddenStates = fixture.tensor(`${dtype}/blocks.0.attn1/input`);
      const output = model.blocks.items[0]!.attn1.call({ hiddenStates, rotary });
      expectClose(fixture, "blocks.0.attn1/output.0", dtype, output);
    });
  });

  test.each([textToVideo, imageToVideo])("CrossAttention of %s", (name) => {
    on(name, dtype, ({ model, fixture, context }) => {
      const hiddenStates = fixture.tensor(`${dtype}/blocks.0.attn2/input`);
      const output = model.blocks.items[0]!.attn2.call({ hiddenStates, context: context.blocks[0]! });
      expectClose(fixture, "blocks.0.attn2/output.0", dtype, output);
    });
  });

  test("FeedForward", () => {
    on(textToVideo, dtype, ({ model, fixture }) => {
      const input = fixture.tensor(`${dtype}/blocks.0.ffn/input`);
      expectClose(fixture, "blocks.0.ffn/output.0", dtype, model.blocks.items[0]!.ffn.call({ input }));
    });
  });

  test.each([
    [textToVideo, { frames: 3, height: 3, width: 5 }],
    [imageToVideo, { frames: 3, height: 3, width: 3 }],
  ] as const)("TransformerBlock of %s", (name, grid) => {
    on(name, dtype, ({ model, fixture, context, input }) => {
      const { timestepProj } = model.conditionEmbedder.call({ timestep: input.timestep, dtype });
      const output = model.blocks.items[0]!.call({
        hiddenStates: fixture.tensor(`${dtype}/blocks.0/input`),
        context: context.blocks[0]!,
        temb: timestepProj,
        rotary: model.rope.call(grid),
      });
      expectClose(fixture, "blocks.0/output.0", dtype, output);
    });
  });
});
