import { accuracyCase } from "../accuracy-case.ts";
import { type NonFinite, testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const spoiled: readonly NonFinite[] = [
  "NaN in query",
  "NaN in key",
  "NaN in value",
  "+inf in query",
  "+inf in key",
  "-inf in key",
  "+inf in value",
  "-inf in value",
];
const sizes = { batch: 2, queries: 15, keys: 35, heads: 2, headDim: 16 };

/** One value that isn't finite: it spoils the rows and channels that it belongs to, and no other. */
export function nonFiniteCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => [
    ...spoiled.map((nonFinite) => accuracyCase("nonFinite", { dtype, ...sizes, nonFinite })),
    accuracyCase("nonFinite", { dtype, ...sizes, mask: "bias", nonFinite: "NaN in mask" }),
    accuracyCase("nonFinite", { dtype, ...sizes, mask: "bias", nonFinite: "+inf in mask" }),
  ]);
}
