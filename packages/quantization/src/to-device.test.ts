import { afterEach, describe, expect, test } from "bun:test";
import { memory, Rehearsal, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { Int8Weight, Nf4Weight } from "./index.ts";

afterEach(() => {
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

/** Rows that aren't whole blocks, so that a CPU's lookup of scales has indices of its own. */
const shape = [32, 80];

const weights = {
  nf4: () => quantized((weight) => Nf4Weight.quantize(weight, { doubleQuantization: false })),
  "nf4 with quantized scales": () =>
    quantized((weight) => Nf4Weight.quantize(weight, { doubleQuantization: true })),
  "nf4 with scales as AVX-512 looks them up": () =>
    quantized((weight) => Nf4Weight.quantize(weight, { doubleQuantization: true, scaleLookup: "avx512" })),
  int8: () => quantized((weight) => Int8Weight.quantize(weight)),
};

function quantized<W>(quantize: (weight: Tensor) => W): W {
  const values = Array.from({ length: 32 * 80 }, (_, index) => Math.sin(index + 1));
  return scope(() => quantize(Tensor.from(values, shape)));
}

function values(weight: Nf4Weight | Int8Weight): Float32Array {
  using restored = weight.dequantize();
  return restored.floatsBlocking();
}

describe.each(Object.keys(weights) as (keyof typeof weights)[])("a weight in %s", (name) => {
  test("that is moved lives by itself, and restores the same", () => {
    const weight = weights[name]();
    const expected = values(weight);
    using moved = weight.toDevice("cpu");
    weight[Symbol.dispose]();
    expect(values(moved)).toEqual(expected);
    using part = moved.rows(8, 16);
    using there = part.toDevice("cpu");
    expect(values(there)).toEqual(expected.slice(8 * 80, 16 * 80));
  });

  test("moves as codes and scales, and no more", () => {
    using rehearsal = new Rehearsal();
    using weight = weights[name]();
    rehearsal.take();
    using moved = weight.toDevice("cuda:0", { ahead: true });
    const { deviceBytes, operations } = rehearsal.take();
    expect(deviceBytes).toBe(weight.bytes);
    expect(moved.bytes).toBe(weight.bytes);
    expect(new Set(operations.map(({ operation }) => operation))).toEqual(new Set(["toDevice"]));
    // Nothing of it is made here anew each time.
    using _restored = moved.dequantize();
    expect(rehearsal.take().operations.some(({ operation }) => operation === "toDevice")).toBe(false);
  });
});
