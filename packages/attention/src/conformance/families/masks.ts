import { accuracyCase } from "../accuracy-case.ts";
import { type MaskKind, testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const kinds: readonly MaskKind[] = [
  "causal",
  "keyPadding",
  "bias",
  "biasOfHead",
  "twoDimensional",
  "hiddenRows",
  "hiddenHead",
  "lowestNumber",
  "sliced",
];
const sizes = { batch: 2, queries: 19, keys: 67, heads: 3, headDim: 16 };

/** Masks of every shape that broadcasts, with hidden keys, hidden rows and numbers. */
export function maskCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => [
    ...kinds.map((mask) => accuracyCase("masks", { dtype, ...sizes, mask })),
    // Blocks of keys that are hidden whole before the first that is not, and after the last.
    accuracyCase("masks", { ...sizes, dtype, keys: 1100, mask: "hiddenRows" }),
    accuracyCase("masks", { ...sizes, dtype, keys: 1100, mask: "causal" }),
  ]);
}
