import { afterEach, describe, expect, test } from "bun:test";
import { type DType, memory, synchronize, Tensor } from "@wan-ts/tensor";
import { checkParameters, Linear, loadParameters, Module, StateError, type TensorSource } from "./index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

class Net extends Module<undefined, undefined> {
  readonly timeEmbedder = this.child("time_embedder", new Linear(2, 2));
  readonly out = this.child("out", new Linear(2, 1, { bias: false }));
  readonly extra = this.parameter("extra", [1], { optional: true });
  protected override forward(): undefined {}
}

/** A checkpoint of zeros. */
function source(shapes: Readonly<Record<string, readonly number[]>>, dtype = "float32"): TensorSource {
  return {
    description: "net.safetensors",
    names: () => Object.keys(shapes),
    entry: (name) => (shapes[name] ? { shape: shapes[name], dtype } : undefined),
    bytes: () => new Uint8Array(),
    tensor: (name) => Tensor.zeros(shapes[name] as readonly number[], dtype as DType),
  };
}

const whole = { "time_embedder.weight": [2, 2], "time_embedder.bias": [2], "out.weight": [1, 2] };

describe("loadParameters", () => {
  test("casts to the dtype asked for, except what stays in float32", () => {
    using net = new Net();
    loadParameters(net, source(whole), { dtype: "bfloat16", keepInFloat32: ["time_embedder"] });
    const dtypes = [...net.namedParameters()].map(([name, parameter]) => [name, parameter.optional?.dtype]);
    expect(Object.fromEntries(dtypes)).toEqual({
      "time_embedder.weight": "float32",
      "time_embedder.bias": "float32",
      "out.weight": "bfloat16",
      extra: undefined,
    });
  });

  test("keepInFloat32 compares whole components, not parts of them", () => {
    using net = new Net();
    loadParameters(net, source(whole), { dtype: "float16", keepInFloat32: ["time", "weight_"] });
    expect(net.timeEmbedder.weight.value.dtype).toBe("float16");
  });

  test("finds aliases and passes over what is ignored", () => {
    using net = new Net();
    const { "out.weight": weight, ...rest } = whole;
    const stored = { ...rest, "head.weight": weight, "decoder.1": [3], step: [1] };
    loadParameters(net, source(stored), {
      dtype: "float32",
      aliases: { "out.weight": ["lm.weight", "head.weight"] },
      ignored: [/^decoder\./, "step"],
    });
    expect(net.out.weight.value.shape).toEqual([1, 2]);
  });

  test("tells every missing, unexpected, misshapen and mistyped tensor at once, and loads nothing", () => {
    using net = new Net();
    const failure = (() => {
      try {
        loadParameters(net, source({ "time_embedder.weight": [2, 3], "out.weight": [1, 2], other: [4] }), {
          dtype: "float32",
        });
      } catch (error) {
        return error as StateError;
      }
      throw new Error("it was loaded");
    })();
    expect(failure).toBeInstanceOf(StateError);
    expect(failure.problems).toEqual([
      { kind: "shape", name: "time_embedder.weight", expected: [2, 2], found: [2, 3] },
      { kind: "missing", name: "time_embedder.bias", expected: [2] },
      { kind: "unexpected", name: "other", found: [4] },
    ]);
    expect(failure.message).toBe(
      "net.safetensors doesn't fit the model: time_embedder.weight is [2,3], expected [2,2]; time_embedder.bias [2] is missing; other [4] is unexpected",
    );
    expect(net.out.weight.optional).toBeUndefined();
  });

  test("refuses stored dtypes that aren't floats", () => {
    using net = new Net();
    expect(() => checkParameters(net, source(whole, "int32"))).toThrow(
      /time_embedder.weight is int32, expected float32, bfloat16, float16/,
    );
  });

  test("a long list of problems is cut in the message, not in the error", () => {
    using net = new Net();
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`stray.${index}`, [1]]));
    try {
      loadParameters(net, source({ ...whole, ...many }), { dtype: "float32" });
      throw new Error("it was loaded");
    } catch (error) {
      expect((error as StateError).problems).toHaveLength(20);
      expect((error as StateError).message).toEndWith("; and 15 more");
    }
  });
});
