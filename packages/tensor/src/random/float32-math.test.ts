import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fusedMultiplyAdd, logarithmOfFraction, reduceAngle } from "./float32-math.ts";

/** `numerator · 2^−SCALE_BITS` rounded to 24 significant bits, ties to even, in whole numbers throughout. */
const SCALE_BITS = 70;
function roundedFraction(numerator: bigint): number {
  const negative = numerator < 0n;
  let magnitude = negative ? -numerator : numerator;
  const dropped = BigInt(Math.max(0, magnitude.toString(2).length - 24));
  if (dropped > 0n) {
    const half = 1n << (dropped - 1n);
    const rest = magnitude & ((1n << dropped) - 1n);
    magnitude >>= dropped;
    if (rest > half || (rest === half && (magnitude & 1n) === 1n)) magnitude += 1n;
  }
  const value = Number(magnitude) * 2 ** (Number(dropped) - SCALE_BITS);
  return negative ? -value : value;
}

describe("fusedMultiplyAdd", () => {
  const significand = fc.integer({ min: -(2 ** 24), max: 2 ** 24 });

  test("rounds the exact result once", () => {
    const exact = fc.property(
      significand,
      significand,
      significand,
      fc.integer({ min: -60, max: -24 }),
      (a, b, c, power) => {
        const numerator =
          BigInt(a) * BigInt(b) * (1n << BigInt(SCALE_BITS - 48)) +
          BigInt(c) * (1n << BigInt(SCALE_BITS + power));
        expect(fusedMultiplyAdd(a * 2 ** -24, b * 2 ** -24, c * 2 ** power) + 0).toBe(
          roundedFraction(numerator) + 0,
        );
      },
    );
    fc.assert(exact, { numRuns: 2000 });
  });

  // Products a hair off half a unit in the last place of the sum: float64 rounds the hair away.
  const nearHalf = 2 ** -12 * (1 + 2 ** -15);
  const hairBelow = 2 ** -12 * (1 - 2 ** -15);
  test.each([
    [nearHalf, hairBelow, 1 + 2 ** -23, 1 + 2 ** -23],
    [-nearHalf, hairBelow, 1 + 2 ** -23, 1 + 2 ** -23],
    [nearHalf, hairBelow, -1 - 2 ** -23, -1 - 2 ** -23],
    [-nearHalf, hairBelow, -1 - 2 ** -23, -1 - 2 ** -23],
  ])("of %p, %p and %p isn't rounded twice", (a, b, c, expected) => {
    expect(fusedMultiplyAdd(a, b, c)).toBe(expected);
    expect(Math.fround(a * b + c)).not.toBe(expected);
  });

  test("of an exact tie goes to the even side", () => {
    expect(fusedMultiplyAdd(2 ** -12, 2 ** -12, 1)).toBe(1);
    expect(fusedMultiplyAdd(2 ** -12, 2 ** -12, 1 + 2 ** -23)).toBe(1 + 2 ** -22);
  });
});

describe("float32 functions", () => {
  test("logarithm lies within two units in the last place", () => {
    const close = fc.property(fc.integer({ min: 1, max: 2 ** 24 - 1 }), (numerator) => {
      const exact = Math.log(numerator / 2 ** 24);
      expect(Math.abs(logarithmOfFraction(numerator) / exact - 1)).toBeLessThan(2 ** -22);
    });
    fc.assert(close, { numRuns: 2000 });
    expect(logarithmOfFraction(2 ** 24)).toBe(0);
  });

  test("a reduced angle keeps sine and cosine", () => {
    const close = fc.property(fc.double({ min: 0, max: 2 * Math.PI, noNaN: true }), (wide) => {
      const angle = Math.fround(wide);
      const { octant, sine, cosine } = reduceAngle(angle);
      const distance = angle - (octant * Math.PI) / 4;
      expect(Math.abs(distance)).toBeLessThan(Math.PI / 4 + 1e-6);
      expect(Math.abs(sine - Math.sin(distance))).toBeLessThan(2 ** -23);
      expect(Math.abs(cosine - Math.cos(distance))).toBeLessThan(2 ** -23);
    });
    fc.assert(close, { numRuns: 2000 });
  });
});
