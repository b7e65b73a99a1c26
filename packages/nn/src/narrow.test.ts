import { afterEach, describe, expect, test } from "bun:test";
import {
  concatenate,
  type Device,
  type DType,
  keep,
  memory,
  multiply,
  scope,
  synchronizeBlocking,
  Tensor,
  TensorError,
} from "@wan-ts/tensor";
import {
  Embedding,
  Linear,
  loadParameters,
  Parameter,
  type QuantizedWeight,
  StateError,
  type TensorSource,
  type WeightQuantization,
  weightBytes,
} from "./index.ts";

afterEach(() => {
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

const numbers = (...shape: number[]): Tensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(
    Array.from({ length: count }, (_, index) => Math.sin(index + 1)),
    shape,
  );
};

const shapes: Readonly<Record<string, readonly number[]>> = { weight: [6, 5], bias: [6] };

const source: TensorSource = {
  description: "layer.safetensors",
  names: () => Object.keys(shapes),
  entry: (name) => shapes[name] && { shape: shapes[name], dtype: "float32" },
  bytes: () => new Uint8Array(),
  tensor: (name) => numbers(...(shapes[name] as readonly number[])),
};

/** Parts of a layer's six outputs, one of them empty. */
const ranges = [
  { start: 0, end: 1 },
  { start: 1, end: 1 },
  { start: 1, end: 4 },
  { start: 4, end: 6 },
];

/** A layer narrowed to a part of its outputs, loaded before or after. */
function part(when: "before" | "after", range: { start: number; end: number }, dtype: DType): Linear {
  const layer = new Linear(5, 6, { activation: "gelu" });
  const load = (): void => loadParameters(layer, source, { dtype });
  if (when === "before") load();
  for (const [, parameter] of layer.namedParameters()) {
    parameter.narrow({ dim: parameter.options.featureDim!, ...range });
  }
  if (when === "after") load();
  return layer;
}

describe("a narrowed parameter", () => {
  test.each([
    ["before", "float32"],
    ["after", "float32"],
    ["before", "bfloat16"],
    ["after", "bfloat16"],
  ] as const)("loaded %s it is narrowed makes its layer's outputs in %s, to the byte", (when, dtype) => {
    scope(() => {
      using layer = new Linear(5, 6, { activation: "gelu" });
      loadParameters(layer, source, { dtype });
      const input = numbers(3, 5).to(dtype);
      const outputs = ranges.map((range) => {
        using narrowed = part(when, range, dtype);
        return narrowed.call({ input });
      });
      const found = concatenate(outputs, -1);
      expect(found.floatsBlocking()).toEqual(layer.call({ input }).floatsBlocking());
    });
  });

  test.each(["float32", "bfloat16"] as const)("loaded in %s holds its part alone", (dtype) => {
    using layer = part("after", { start: 1, end: 4 }, dtype);
    synchronizeBlocking();
    const bytes = (3 * 5 + 3) * (dtype === "float32" ? 4 : 2);
    expect(weightBytes(layer)).toEqual({ quantized: 0, cast: bytes, mapped: 0 });
    // Storages are a multiple of 64 bytes.
    expect(memory().liveBytes).toBeLessThanOrEqual(2 * 64);
    expect(layer.weight.shape).toEqual([6, 5]);
  });

  test("makes an embedding's features", () => {
    scope(() => {
      using table = new Embedding(4, 6);
      table.weight.set(numbers(4, 6));
      const indices = Tensor.from([3, 0, 1], [3], "int32");
      const expected = table.call({ indices }).slice(1, 2, 5);
      const widen = table.weight.narrow({ dim: table.weight.options.featureDim!, start: 2, end: 5 });
      expect(table.call({ indices }).floatsBlocking()).toEqual(expected.floatsBlocking());
      widen();
      expect(table.call({ indices }).shape).toEqual([3, 6]);
    });
  });

  test("is as it was once it is widened, whenever it was loaded", () => {
    const value = new Parameter([4, 2]);
    const whole = numbers(4, 2);
    value.set(whole);
    const widen = value.narrow({ dim: 0, start: 1, end: 3 });
    expect(value.part).toEqual({ dim: 0, start: 1, end: 3 });
    expect(value.value.shape).toEqual([2, 2]);
    widen();
    expect(value.part).toBeUndefined();
    expect(value.value).toBe(whole);
    widen();
    expect(value.value).toBe(whole);

    value.narrow({ dim: 1, start: 0, end: 1 });
    value.set(numbers(4, 1));
    expect(whole.isDisposed).toBe(true);
    value.dispose();
  });

  test("that was loaded narrow is let go of when it is widened, and stays narrow when it is disposed", () => {
    const value = new Parameter([4, 2]);
    const widen = value.narrow({ dim: 0, start: 1, end: 3 });
    value.set(numbers(2, 2));
    value.dispose();
    expect(value.part).toEqual({ dim: 0, start: 1, end: 3 });
    value.set(numbers(2, 2));
    widen();
    expect(value.held).toBeUndefined();
    using part = numbers(2, 2);
    expect(() => value.set(part)).toThrow("of shape [4,2], but is [2,2]");
  });

  test("refuses parts that it hasn't got, a second part, and the whole", () => {
    const value = new Parameter([4, 2]);
    for (const part of [
      { dim: 2, start: 0, end: 1 },
      { dim: 0, start: 3, end: 2 },
      { dim: 0, start: 0, end: 5 },
      { dim: 0, start: 0.5, end: 1 },
    ]) {
      expect(() => value.narrow(part)).toThrow(/part must be a range of a dimension of \[4,2\], but is/);
    }
    expect(value.part).toBeUndefined();
    value.narrow({ dim: 0, start: 1, end: 3 });
    expect(() => value.narrow({ dim: 0, start: 1, end: 2 })).toThrow(
      "narrow must be called on a whole parameter, but is narrowed to 1..3 along 0",
    );
    using whole = numbers(4, 2);
    expect(() => value.set(whole)).toThrow("of shape [2,2], but is [4,2]");
  });

  test("still has the shape that checkpoints store", () => {
    const layer = new Linear(5, 7);
    layer.weight.narrow({ dim: 0, start: 0, end: 6 });
    expect(() => loadParameters(layer, source, { dtype: "float32" })).toThrow(StateError);
  });
});

/** A weight held in a tensor, which knows how many rows it was made of. */
class Held implements QuantizedWeight {
  readonly dtype = "float32";
  readonly tensor: Tensor;

  constructor(tensor: Tensor) {
    this.tensor = keep(tensor);
  }

  get shape(): readonly number[] {
    return this.tensor.shape;
  }

  get bytes(): number {
    return this.tensor.bytes;
  }

  dequantize(): Tensor {
    return this.tensor.share();
  }

  rows(start: number, end: number): Held {
    return scope(() => new Held(multiply(this.tensor.slice(0, start, end), 1)));
  }

  toDevice(device: Device): Held {
    return new Held(this.tensor.toDevice(device));
  }

  [Symbol.dispose](): void {
    this.tensor.dispose();
  }
}

describe("a narrowed parameter that is held quantized", () => {
  const onLoad: WeightQuantization = {
    stored: () => undefined,
    quantize: (_, weight) => scope(() => new Held(multiply(weight, 2))),
  };
  const stored: WeightQuantization = {
    stored: (name, shape) =>
      name === "weight"
        ? { names: [name], problems: [], load: () => new Held(scope(() => multiply(numbers(...shape), 2))) }
        : undefined,
    quantize: () => undefined,
  };

  test.each([
    ["on load", onLoad],
    ["as it is stored", stored],
  ])("%s keeps rows of the whole's codes", (_, quantization) => {
    scope(() => {
      using layer = new Linear(5, 6);
      for (const [, parameter] of layer.namedParameters()) parameter.narrow({ dim: 0, start: 1, end: 4 });
      loadParameters(layer, source, { dtype: "float32", quantization });
      synchronizeBlocking();
      expect(memory().liveStorages).toBe(2);
      expect(layer.weight.quantized?.shape).toEqual([3, 5]);
      const expected = multiply(numbers(6, 5), 2).slice(0, 1, 4);
      expect(layer.weight.quantized?.dequantize().floatsBlocking()).toEqual(expected.floatsBlocking());
    });
  });

  test("is made of rows when it is there already, and whole again when it is widened", () => {
    using layer = new Linear(5, 6, { bias: false });
    const whole = new Held(numbers(6, 5));
    layer.weight.set(whole);
    const widen = layer.weight.narrow({ dim: 0, start: 1, end: 4 });
    expect(layer.weight.quantized?.shape).toEqual([3, 5]);
    widen();
    expect(layer.weight.quantized).toBe(whole);
  });

  test("has no other parts than rows", () => {
    using layer = new Linear(5, 6, { bias: false });
    layer.weight.set(new Held(numbers(6, 5)));
    const narrow = (): unknown => layer.weight.narrow({ dim: 1, start: 1, end: 4 });
    expect(narrow).toThrow(TensorError);
    expect(narrow).toThrow("part must be rows, of a quantized weight, but is along dimension 1");
    expect(layer.weight.part).toBeUndefined();
  });
});
