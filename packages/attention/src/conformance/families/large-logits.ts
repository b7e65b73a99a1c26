import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const sizes = { batch: 1, queries: 17, keys: 75, heads: 2, headDim: 64 };

/**
 * Scores whose exponentials overflow unless the greatest is subtracted first: far apart, where one
 * key takes all, and far from zero but near each other, where many share.
 */
export function largeLogitCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => [
    accuracyCase("largeLogits", { dtype, ...sizes, spread: 8 }),
    accuracyCase("largeLogits", { dtype, ...sizes, spread: 100 }),
    accuracyCase("largeLogits", { dtype, ...sizes, offset: 8 }),
    accuracyCase("largeLogits", { dtype, ...sizes, offset: 8, scale: -0.125 }),
    accuracyCase("largeLogits", { dtype, ...sizes, scale: 100 }),
  ]);
}
