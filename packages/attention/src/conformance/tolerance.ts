import type { TestedDType } from "./attention-setup.ts";
import type { AttentionOutputs, AttentionValues } from "./attention-values.ts";
import { lowestNumber } from "./build-mask.ts";
import { largestScore } from "./exact-attention.ts";
import { plainAttention } from "./plain-attention.ts";

/** How far a backend may be from the exact result. */
export interface Tolerance {
  /** For an element of the output whose exact value is `exact`. */
  readonly output: (exact: number) => number;
  /** For a log-sum-exp whose exact value is `exact`. */
  readonly logSumExp: (exact: number) => number;
}

/** Distance from 1 to the next number, and between the smallest ones. */
const steps: Record<TestedDType, { readonly relative: number; readonly smallest: number }> = {
  float32: { relative: 2 ** -23, smallest: 2 ** -149 },
  bfloat16: { relative: 2 ** -7, smallest: 2 ** -133 },
  float16: { relative: 2 ** -10, smallest: 2 ** -24 },
};

/** Units in the last place of float32 by which a good exponential and a score may be off together. */
const exponentialUnits = 4;

/**
 * The tolerance of a case is the sum of three errors that a right implementation may have:
 *
 * - twice the largest error of the plain version in the same dtype: another order of summation, or
 *   probabilities rounded at another point, errs about as much as that one does;
 * - one step of the output's dtype, for the rounding at the end;
 * - what float32 makes of the scores at all: a score s rounded once is off by 2⁻²⁴·|s|, by which its
 *   probability is off relatively, and a vectorised exponential by a few units: 4·2⁻²⁴·(1 + |s|)
 *   times the largest value. It is there for cases of so few elements that the plain version errs
 *   little by luck.
 */
export function toleranceOf(values: AttentionValues, exact: AttentionOutputs, dtype: TestedDType): Tolerance {
  const plain = plainAttention(values, dtype);
  const outputError = 2 * largestDifference(plain.output, exact.output);
  const logSumExpError = 2 * largestDifference(plain.logSumExp, exact.logSumExp);
  // The lowest number swallows a score exactly, so it adds no error.
  const scores =
    largestScore(values) + largest(values.mask?.filter((addend) => addend !== lowestNumber) ?? []);
  const scoreError = exponentialUnits * 2 ** -24 * (1 + scores);
  const valueError = scoreError * largest(values.value);
  const { relative, smallest } = steps[dtype];
  return {
    output: (value) => outputError + valueError + Math.max(relative * Math.abs(value), smallest),
    logSumExp: (value) => logSumExpError + scoreError + 2 ** -23 * Math.abs(value),
  };
}

function largest(values: Iterable<number>): number {
  let found = 0;
  for (const value of values) if (Number.isFinite(value)) found = Math.max(found, Math.abs(value));
  return found;
}

function largestDifference(left: Float64Array, right: Float64Array): number {
  return largest(left.map((value, index) => value - (right[index] as number)));
}
