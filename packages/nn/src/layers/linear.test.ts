import { afterEach, expect, test } from "bun:test";
import {
  add,
  type Device,
  type DType,
  geluTanh,
  keep,
  linear,
  memory,
  scope,
  synchronizeBlocking,
  Tensor,
} from "@wan-ts/tensor";
import { loadParameters, StateError, type TensorSource } from "../load.ts";
import { Module } from "../module.ts";
import type { QuantizedWeight, WeightQuantization } from "../quantization.ts";
import { weightBytes } from "../weight-bytes.ts";
import { Linear } from "./linear.ts";

afterEach(() => {
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

/** A weight held as whole numbers, half of one below. */
class Halves implements QuantizedWeight {
  readonly dtype: DType;
  readonly #codes: Tensor;

  constructor(codes: Tensor, dtype: DType) {
    this.#codes = codes;
    this.dtype = dtype;
  }

  get shape(): readonly number[] {
    return this.#codes.shape;
  }

  get bytes(): number {
    return this.#codes.bytes;
  }

  dequantize(): Tensor {
    return scope(() => add(this.#codes.to("float32"), 0.5).to(this.dtype));
  }

  rows(start: number, end: number): Halves {
    return new Halves(keep(this.#codes.slice(0, start, end)), this.dtype);
  }

  toDevice(device: Device): Halves {
    return new Halves(keep(this.#codes.toDevice(device)), this.dtype);
  }

  [Symbol.dispose](): void {
    this.#codes.dispose();
  }
}

const codes = [3, -2, 0, 1, 5, -7];

function layer(dtype: DType): Linear {
  const made = new Linear(3, 2, { activation: "geluTanh" });
  made.weight.set(new Halves(Tensor.from(codes, [2, 3], "int8"), dtype));
  made.bias?.set(Tensor.from([0.25, -1], [2], "bfloat16"));
  return made;
}

function plainResult(input: Tensor, weight: Tensor, bias: Tensor): Tensor {
  return geluTanh(linear(input, weight, { bias }).to("bfloat16"));
}

test.each(["bfloat16", "float32"] as const)(
  "a quantized weight in %s gives what the restored one gives, in the input's dtype",
  (dtype) => {
    scope(() => {
      using quantized = layer(dtype);
      const input = Tensor.from([1, 2, -1, 0.5, 0.125, 3], [2, 3], "bfloat16");
      const weight = Tensor.from(
        codes.map((code) => code + 0.5),
        [2, 3],
        dtype,
      );
      const bias = Tensor.from([0.25, -1], [2], dtype);
      const expected = plainResult(input.to(dtype), weight, bias);
      const found = quantized.call({ input });
      expect(found.dtype).toBe("bfloat16");
      expect(found.floatsBlocking()).toEqual(expected.floatsBlocking());
    });
  },
);

test("a restored weight is freed with its product", () => {
  using quantized = layer("bfloat16");
  using input = Tensor.full([1, 3], 1, "bfloat16");
  synchronizeBlocking();
  const before = memory().liveStorages;
  using output = quantized.call({ input });
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(before + 1);
  expect(output.shape).toEqual([1, 2]);
});

test("tells what it holds by how it is held, and gives a quantized weight to who asks for one only", () => {
  using quantized = layer("float32");
  expect(weightBytes(quantized)).toEqual({ quantized: 6, cast: 4, mapped: 0 });
  expect(quantized.weight.dtype).toBe("float32");
  expect(() => quantized.weight.value).toThrow("value must be a tensor, but is a quantized weight");
  using other = new Halves(Tensor.from([1, 2], [2], "int8"), "float32");
  expect(() => quantized.bias?.set(other)).toThrow("must be a tensor, but is a quantized weight");
});

class Net extends Module<{ input: Tensor }, Tensor> {
  readonly first = this.child("first", new Linear(2, 1));
  readonly kept = this.child("kept", new Linear(2, 1, { bias: false }));
  readonly last = this.child("last", new Linear(2, 1, { bias: false }));

  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.first.call({ input });
  }
}

const shapes: Readonly<Record<string, readonly number[]>> = {
  "first.weight": [1, 2],
  "first.bias": [1],
  "kept.weight": [1, 2],
  "last.weight": [2, 1],
  "last.weight.scales": [1],
};

const source: TensorSource = {
  description: "net.safetensors",
  names: () => Object.keys(shapes),
  entry: (name) => shapes[name] && { shape: shapes[name], dtype: "float32" },
  bytes: () => new Uint8Array(),
  tensor: (name) => Tensor.full(shapes[name] as readonly number[], 1),
};

/** `last` is stored quantized, the others are to be quantized on load. */
function quantization(problem?: string): WeightQuantization {
  return {
    stored: (name, shape) =>
      name === "last.weight"
        ? {
            names: [name, `${name}.scales`],
            problems: problem ? [{ kind: "value", name, expected: "sound", found: problem }] : [],
            load: (dtype) => new Halves(Tensor.zeros(shape, "int8"), dtype),
          }
        : undefined,
    quantize: (_, weight) =>
      new Halves(
        scope(() => weight.to("int8")),
        weight.dtype,
      ),
  };
}

test("loads stored quantized weights, and quantizes others but those that stay plain", () => {
  using net = new Net();
  loadParameters(net, source, {
    dtype: "bfloat16",
    quantization: quantization(),
    neverQuantized: ["kept"],
  });
  expect([net.first, net.kept, net.last].map(({ weight }) => weight.quantized?.dtype)).toEqual([
    "bfloat16",
    undefined,
    "bfloat16",
  ]);
  synchronizeBlocking();
  expect(weightBytes(net)).toEqual({ quantized: 4, cast: 6, mapped: 0 });
});

test("what is kept in float32 isn't quantized", () => {
  using net = new Net();
  const options = {
    dtype: "bfloat16",
    quantization: quantization(),
    keepInFloat32: ["first", "kept"],
  } as const;
  loadParameters(net, source, options);
  expect([net.first.weight.value.dtype, net.kept.weight.value.dtype]).toEqual(["float32", "float32"]);
});

test("tells what is wrong with a stored quantized weight", () => {
  using net = new Net();
  const load = (): void =>
    loadParameters(net, source, { dtype: "float32", quantization: quantization("broken") });
  expect(load).toThrow(StateError);
  expect(load).toThrow("last.weight is broken, expected sound");
});
