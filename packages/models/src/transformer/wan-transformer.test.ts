import { describe, expect, test } from "bun:test";
import { type DType, memory, scope, setThreads, synchronizeBlocking, Tensor, threads } from "@wan-ts/tensor";
import { shapeText } from "../shape.ts";
import { expectClose } from "../testing/expect-close.ts";
import { fixtureTransformer } from "../testing/fixture-transformer.ts";
import { KernelAttention } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";

const names = [
  "transformer-text-to-video",
  "transformer-image-to-video",
  "transformer-first-last-frame",
] as const;
const dtypes = ["float32", "bfloat16"] as const;

/** Every token's time, as the distinct times and the index of each token's. */
function tokenTimes(): { timestep: number[]; timestepOfToken: Tensor } {
  using times = readFixture(names[0]).tensor("inputs/timestep_of_token");
  const values = [...times.floatsBlocking()];
  const timestep = [...new Set(values)];
  const indices = values.map((value) => timestep.indexOf(value));
  return { timestep, timestepOfToken: Tensor.from(indices, times.shape, "int32") };
}

describe.each(dtypes)("WanTransformer in %s", (dtype) => {
  test.each(names)("predicts what diffusers does: %s", (name) => {
    scope(() => {
      using loaded = fixtureTransformer(name, dtype);
      expectClose(loaded.fixture, "output.0", dtype, loaded.model.call(loaded.input));
    });
  });

  test("predicts what diffusers does where each token has its own time", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[0], dtype);
      const output = loaded.model.call({ ...loaded.input, ...tokenTimes() });
      expectClose(loaded.fixture, "per-token/output.0", dtype, output);
    });
  });

  test("gives a sample the same bytes alone as in a batch", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[0], dtype);
      const together = loaded.model.call(loaded.input).select(0, 1);
      const states = loaded.fixture.tensor("inputs/encoder_hidden_states").to(dtype);
      using context = loaded.model.prepareContext({ encoderHiddenStates: states.slice(0, 1, 2) });
      const alone = loaded.model.call({
        hiddenStates: loaded.input.hiddenStates.slice(0, 1, 2),
        timestep: loaded.input.timestep.slice(1, 2),
        context,
      });
      expect(alone.floatsBlocking()).toEqual(together.floatsBlocking());
    });
  });
});

describe("WanTransformer", () => {
  test("gives the same bytes on one thread and on three", () => {
    const before = threads();
    scope(() => {
      using loaded = fixtureTransformer(names[1], "bfloat16");
      const [one, three] = [1, 3].map((count) => {
        setThreads(count);
        return loaded.model.call(loaded.input).floatsBlocking();
      });
      setThreads(before);
      expect(three).toEqual(one!);
    });
  });

  test("keeps nothing after a forward pass but its rotary tables, and nothing once disposed", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    const loaded = fixtureTransformer(names[1], "bfloat16");
    loaded.model.call(loaded.input).dispose();
    synchronizeBlocking();
    const held = memory().liveStorages;
    for (let pass = 0; pass < 3; pass++) loaded.model.call(loaded.input).dispose();
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(held);
    loaded[Symbol.dispose]();
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(before);
  });

  test("computes keys and values of text and image in prepareContext alone", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[1], "float32");
      const calls: string[] = [];
      for (const block of loaded.model.blocks) {
        const { toK, toV, image } = block.attn2;
        for (const module of [toK, toV, image!.addKProj, image!.addVProj, image!.normAddedK]) {
          module.hooks.add({ name: "count", before: () => void calls.push("context") });
        }
      }
      loaded.model.call(loaded.input);
      expect(calls).toEqual([]);
      loaded.model
        .prepareContext({
          encoderHiddenStates: loaded.fixture.tensor("inputs/encoder_hidden_states"),
          encoderHiddenStatesImage: loaded.fixture.tensor("inputs/encoder_hidden_states_image"),
        })
        .dispose();
      expect(calls.length).toBe(2 * 5);
    });
  });

  test("attends to itself, to the text and to the image of as many tokens as there are", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[1], "float32");
      const backend = new KernelAttention("recording");
      loaded.model.setAttentionBackend(backend);
      loaded.model.call(loaded.input);
      const lengths = backend.keyShapes.map(([, length]) => length);
      expect(lengths).toEqual([27, 512, 5, 27, 512, 5]);
    });
  });

  test("leaves another model's attention backend alone", () => {
    using first = fixtureTransformer(names[0], "float32");
    using second = fixtureTransformer(names[0], "float32");
    const backend = new KernelAttention("recording");
    first.model.setAttentionBackend(backend);
    second.model.call(second.input).dispose();
    expect(backend.keyShapes).toEqual([]);
    expect(() => first.model.setAttentionBackend("unknown")).toThrow('no attention backend "unknown"');
  });

  test.each<[string, DType]>([
    ["blocks.0.scale_shift_table", "float32"],
    ["blocks.0.norm2.weight", "float32"],
    ["condition_embedder.time_embedder.linear_1.weight", "float32"],
    ["condition_embedder.image_embedder.norm1.weight", "float32"],
    ["condition_embedder.time_proj.weight", "bfloat16"],
    ["blocks.0.attn2.norm_added_k.weight", "bfloat16"],
    ["patch_embedding.weight", "bfloat16"],
  ])("holds %s of a bfloat16 model in %s", (name, dtype) => {
    using loaded = fixtureTransformer(names[1], "bfloat16");
    const parameters = new Map(loaded.model.namedParameters());
    expect(parameters.get(name)?.value.dtype).toBe(dtype);
    expect(loaded.model.dtype).toBe("bfloat16");
  });

  test("has parameters by diffusers' names, all of them and no other", () => {
    for (const name of names) {
      using loaded = fixtureTransformer(name, "float32");
      const own = [...loaded.model.namedParameters()].map(([parameter]) => parameter);
      expect(own.toSorted()).toEqual([...loaded.fixture.checkpoint().names()].toSorted());
    }
  });
});

describe("WanTransformer refuses", () => {
  test.each<[string, readonly number[]]>([
    ["other channels", [2, 5, 3, 6, 10]],
    ["a height that patches don't fill", [2, 4, 3, 7, 10]],
    ["no frames", [2, 4, 0, 6, 10]],
    ["a missing dimension", [2, 4, 6, 10]],
  ])("latents of %s", (_, shape) => {
    scope(() => {
      using loaded = fixtureTransformer(names[0], "float32");
      expect(() => loaded.model.call({ ...loaded.input, hiddenStates: Tensor.zeros(shape) })).toThrow(
        `hiddenStates must be [B, 4, T, H, W] with T, H, W multiples of 1, 2, 2, but is ${shapeText(shape)}`,
      );
    });
  });

  test("more tokens along an axis than have rotary positions", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[0], "float32");
      const hiddenStates = Tensor.zeros([2, 4, 33, 2, 2]);
      expect(() => loaded.model.call({ ...loaded.input, hiddenStates })).toThrow(
        "at most 32 tokens (rope_max_seq_len) along frames, height and width, but is 33 × 1 × 1",
      );
    });
  });

  test("times of other samples, tokens or contexts", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[0], "float32");
      const { model, input } = loaded;
      expect(() => model.call({ ...input, timestep: [1] })).toThrow("one for each of 2 samples, but is [1]");
      const timestepOfToken = Tensor.zeros([2, 44], "int32");
      expect(() => model.call({ ...input, timestepOfToken })).toThrow("[2, 45], samples and tokens");
      const encoderHiddenStates = Tensor.zeros([1, 3, 16]);
      using context = model.prepareContext({ encoderHiddenStates });
      expect(() => model.call({ ...input, context })).toThrow("for 2 samples, but is one of 2 blocks for 1");
    });
  });

  test("image states without image keys, and image keys without image states", () => {
    scope(() => {
      using textToVideo = fixtureTransformer(names[0], "float32");
      using imageToVideo = fixtureTransformer(names[1], "float32");
      const encoderHiddenStates = Tensor.zeros([1, 3, 16]);
      const encoderHiddenStatesImage = Tensor.zeros([1, 3, 20]);
      expect(() =>
        textToVideo.model.prepareContext({ encoderHiddenStates, encoderHiddenStatesImage }),
      ).toThrow("left out, as the model has no image keys");
      expect(() => imageToVideo.model.prepareContext({ encoderHiddenStates })).toThrow(
        "given, as the model has image keys",
      );
    });
  });

  test("one frame where a checkpoint has positions for the first and the last", () => {
    scope(() => {
      using loaded = fixtureTransformer(names[2], "float32");
      const encoderHiddenStates = Tensor.zeros([1, 3, 16]);
      const encoderHiddenStatesImage = Tensor.zeros([1, 5, 20]);
      expect(() => loaded.model.prepareContext({ encoderHiddenStates, encoderHiddenStatesImage })).toThrow(
        "[2·B, 5, 20]: a first and a last frame for each sample",
      );
    });
  });
});
