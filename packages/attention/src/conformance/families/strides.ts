import { accuracyCase } from "../accuracy-case.ts";
import { type InputLayout, testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const layouts: readonly InputLayout[] = [
  "fusedProjections",
  "headsFirst",
  "slicedSequence",
  "slicedHeads",
  "slicedChannels",
  "sharedByBatches",
  "sharedByHeads",
];

/** Heads that fill no vector, which not all backends take, and heads that do. */
const headSizes = [20, 24] as const;

/** Inputs that are views: slices, permuted, repeated, and parts of one tensor. */
export function strideCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) =>
    headSizes.flatMap((headDim) =>
      layouts.map((layout) => {
        const keys = layout === "fusedProjections" ? 21 : 34;
        return accuracyCase("strides", { dtype, batch: 2, queries: 21, keys, heads: 3, headDim, layout });
      }),
    ),
  );
}
