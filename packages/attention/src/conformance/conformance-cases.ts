import type { ConformanceCase } from "./conformance-case.ts";
import { headSizeCases } from "./families/head-sizes.ts";
import { largeLogitCases } from "./families/large-logits.ts";
import { lengthCases } from "./families/lengths.ts";
import { logSumExpCases } from "./families/log-sum-exp.ts";
import { maskCases } from "./families/masks.ts";
import { nonFiniteCases } from "./families/non-finite.ts";
import { piecesCases } from "./families/pieces.ts";
import { rowInvarianceCases } from "./families/row-invariance.ts";
import { scaleCases } from "./families/scales.ts";
import { strideCases } from "./families/strides.ts";

/** Every case of the suite, family by family. */
export function conformanceCases(): ConformanceCase[] {
  return [
    ...lengthCases(),
    ...headSizeCases(),
    ...scaleCases(),
    ...maskCases(),
    ...logSumExpCases(),
    ...largeLogitCases(),
    ...nonFiniteCases(),
    ...strideCases(),
    ...rowInvarianceCases(),
    ...piecesCases(),
  ];
}
