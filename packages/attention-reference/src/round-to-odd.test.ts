import { expect, test } from "bun:test";
import fc from "fast-check";
import { roundToOdd } from "./round-to-odd.ts";

/** float64 to bfloat16, to nearest and ties to even, by whole numbers of the last place. */
function toBfloat16(value: number): number {
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), -126);
  const unit = 2 ** (exponent - 7);
  const quotient = value / unit;
  const below = Math.floor(quotient);
  const rest = quotient - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 !== 0);
  return (below + (up ? 1 : 0)) * unit;
}

/** float32 to bfloat16 as an addition to its bits. */
function narrow(value: number): number {
  const float = new Float32Array([value]);
  const bits = new Uint32Array(float.buffer);
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return float[0]!;
}

const near = fc
  .tuple(fc.integer({ min: -1000, max: 1000 }), fc.constantFrom(0, 1, -1), fc.integer({ min: 0, max: 52 }))
  .map(([whole, sign, bits]) => whole / 64 + sign * 2 ** -bits);

test("a float64 rounded to odd rounds to float16 as it would at once", () => {
  fc.assert(
    fc.property(fc.oneof(near, fc.double({ noNaN: true })), (value) => {
      const [odd] = roundToOdd(Float64Array.of(value));
      expect(Math.f16round(odd as number)).toBe(Math.f16round(value));
    }),
  );
});

test("a float64 rounded to odd rounds to bfloat16 as it would at once", () => {
  fc.assert(
    fc.property(near, (value) => {
      fc.pre(value !== 0);
      const [odd] = roundToOdd(Float64Array.of(value));
      expect(narrow(odd as number)).toBe(toBfloat16(value));
    }),
  );
});

test("rounding twice to nearest would have gone wrong", () => {
  const justAboveTie = 1 + 2 ** -11 + 2 ** -40;
  expect(Math.f16round(Math.fround(justAboveTie))).toBe(1);
  expect(Math.f16round(roundToOdd(Float64Array.of(justAboveTie))[0] as number)).toBe(1 + 2 ** -10);
});

test("exact values, NaN and infinities stay", () => {
  const values = Float64Array.of(0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
  expect([...roundToOdd(values)]).toEqual([...values]);
});
