import { afterAll, beforeAll, expect, test } from "bun:test";
import type { WeightSource } from "@wan-ts/hub";
import type { QuantizedWeight } from "@wan-ts/nn";
import { memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { Int8Weight } from "./int8-weight.ts";
import { Nf4Weight } from "./nf4-weight.ts";
import { openFixture } from "./testing/fixture.ts";

let fixture: WeightSource;
beforeAll(async () => {
  fixture = await openFixture();
});
afterAll(() => fixture.close());

const kinds: Readonly<Record<string, (weight: Tensor) => QuantizedWeight>> = {
  int8: (weight) => Int8Weight.quantize(weight),
  nf4: (weight) => Nf4Weight.quantize(weight, { doubleQuantization: false, scaleLookup: "exact" }),
  "nf4 with nested scales": (weight) =>
    Nf4Weight.quantize(weight, { doubleQuantization: true, scaleLookup: "exact" }),
  "nf4 with misplaced scales": (weight) =>
    Nf4Weight.quantize(weight, { doubleQuantization: true, scaleLookup: "avx512" }),
};

// Rows of whole blocks, of one and a half, of half a block, of an odd number of elements, of an even
// number that isn't whole 16s; and enough of them for a second scale of scales.
const cases = ["float32", "float16", "narrow", "odd", "partial", "nested"].flatMap((weight) =>
  Object.keys(kinds).map((kind) => [weight, kind] as const),
);

test.each(cases)("any rows of %s in %s are restored as among all, and so are rows of those", (name, kind) => {
  scope(() => {
    using whole = kinds[kind]!(fixture.tensor(`${name}/weight`));
    const restored = whole.dequantize();
    const count = whole.shape[0]!;
    const ranges = [
      [0, count],
      [0, 1],
      [1, count],
      [2, 3],
      [1, 1],
      [count - 1, count],
      [count, count],
    ] as const;
    for (const [start, end] of ranges) {
      using rows = whole.rows(start, end);
      expect(rows.shape).toEqual([end - start, whole.shape[1]!]);
      expect(rows.dtype).toBe(whole.dtype);
      const expected = restored.slice(0, start, end);
      expect(rows.dequantize().floatsBlocking()).toEqual(expected.floatsBlocking());
      if (end - start < 2) continue;
      using inner = rows.rows(1, end - start);
      expect(inner.dequantize().floatsBlocking()).toEqual(expected.slice(0, 1).floatsBlocking());
    }
  });
});

test.each(Object.keys(kinds))("rows in %s keep only their share of the memory", (kind) => {
  synchronizeBlocking();
  const before = memory().liveStorages;
  scope(() => {
    // Two blocks of scales, and rows of half a block, which misplace scales.
    const weight = Tensor.from(
      Array.from({ length: 1024 * 32 }, (_, index) => Math.sin(index)),
      [1024, 32],
    );
    const whole = kinds[kind]!(weight);
    using rows = whole.rows(512, 1024);
    // Tables of scales and scales that are looked up anywhere stay whole.
    expect(rows.bytes).toBeLessThan(0.55 * whole.bytes);
    const expected = whole.dequantize().slice(0, 512);
    whole[Symbol.dispose]();
    expect(rows.dequantize().floatsBlocking()).toEqual(expected.floatsBlocking());
  });
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(before);
});
