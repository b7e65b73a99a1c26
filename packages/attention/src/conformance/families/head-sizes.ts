import { accuracyCase } from "../accuracy-case.ts";
import { testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";

/** The usual ones, those of small models, some that fill no vector, and that of the Wan VAE. */
const headSizes = [
  8, 12, 16, 20, 24, 32, 33, 40, 48, 64, 72, 80, 96, 112, 128, 144, 160, 192, 224, 255, 256, 384,
];

/** Numbers of channels of a head; one and several heads. */
export function headSizeCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) =>
    headSizes.map((headDim, index) =>
      accuracyCase("headSizes", { dtype, batch: 1, queries: 9, keys: 37, heads: 1 + (index % 3), headDim }),
    ),
  );
}
