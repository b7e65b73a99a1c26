import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

/** [queries, keys]: one, odd ones, and both sides of the blocks of 32, 64 and 512 that kernels work in. */
const lengths = [
  [1, 1],
  [1, 17],
  [17, 1],
  [2, 3],
  [31, 33],
  [65, 63],
  [7, 127],
  [129, 32],
  [3, 511],
  [3, 513],
  [1, 1025],
  [225, 5],
] as const;

/** Numbers of queries and keys, equal or not, odd and even. */
export function lengthCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) =>
    lengths.map(([queries, keys]) =>
      accuracyCase("lengths", { dtype, batch: 2, queries, keys, heads: 3, headDim: 16 }),
    ),
  );
}
