import { type BenchDType, BenchmarkError } from "./case.ts";

/** Half the distance between neighbours around 1: the relative error of one rounding. */
export function unitRoundoff(dtype: BenchDType): number {
  return dtype === "float32" ? 2 ** -24 : 2 ** -9;
}

/**
 * The error that a sum of `terms` products may have, computed in float32 in any order and rounded
 * once to `dtype` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
 *
 * @param magnitude the sum of the products' absolute values.
 */
export function sumError(dtype: BenchDType, terms: number, magnitude: number, result: number): number {
  return 2 * (terms * unitRoundoff("float32") * magnitude + unitRoundoff(dtype) * Math.abs(result));
}

/** @throws {BenchmarkError} unless |found − expected| ≤ allowed. */
export function checkClose(found: number, expected: number, allowed: number, where: string): void {
  if (Math.abs(found - expected) <= allowed) return;
  throw new BenchmarkError(found, expected, allowed, where);
}

/**
 * Compares whole outputs by ‖found − expected‖ / ‖expected‖.
 *
 * @throws {BenchmarkError} where that is above `allowed`, or not a number.
 */
export function checkDistance(
  found: Float32Array,
  expected: Float32Array,
  allowed: number,
  where: string,
): void {
  let difference = 0;
  let norm = 0;
  for (const [at, value] of expected.entries()) {
    difference += ((found[at] as number) - value) ** 2;
    norm += value ** 2;
  }
  checkClose(Math.sqrt(difference / norm), 0, allowed, where);
}
