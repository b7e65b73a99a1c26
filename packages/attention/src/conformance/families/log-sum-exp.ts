import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const sizes = { batch: 2, queries: 13, keys: 41, heads: 3, headDim: 24 };

/** The log-sum-exp of rows, with and without masks, and −∞ for a row that is hidden wholly. */
export function logSumExpCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => [
    accuracyCase("logSumExp", { dtype, ...sizes, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, keys: 1, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, keys: 515, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, spread: 30, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "bias", logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "hiddenRows", logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "hiddenHead", logSumExp: true }),
  ]);
}
