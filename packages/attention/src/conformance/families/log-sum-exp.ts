import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const sizes = { batch: 2, queries: 13, keys: 41, heads: 3, headDim: 24 };

/** Query and key of few digits, so that scores, all 30.25, are exact in every dtype. */
const exactScores = { headDim: 16, spread: 0, offset: 2.75, logSumExp: true };

/**
 * The log-sum-exp of rows, with and without masks, and −∞ for a row that is hidden wholly. Its residue,
 * which a backend need not give, is checked wherever it is given, and to 1e-9 where scores are exact.
 */
export function logSumExpCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => [
    accuracyCase("logSumExp", { dtype, ...sizes, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, keys: 1, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, keys: 515, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, spread: 30, logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "bias", logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "hiddenRows", logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, mask: "hiddenHead", logSumExp: true }),
    accuracyCase("logSumExp", { dtype, ...sizes, ...exactScores }),
    accuracyCase("logSumExp", { dtype, ...sizes, ...exactScores, keys: 1025 }),
  ]);
}
