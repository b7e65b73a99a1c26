import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const sizes = { batch: 1, queries: 11, keys: 45, heads: 2, headDim: 32 };

/** The factor of the scores: given, 1, and 0, with which every key weighs the same. */
export function scaleCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) =>
    [0, 0.03125, 0.3, 1].map((scale) => accuracyCase("scales", { dtype, ...sizes, scale })),
  );
}
