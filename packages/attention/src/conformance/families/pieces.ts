import { type AttentionSetup, testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";
import { piecesCase } from "../same-bytes-case.ts";

/** Keys of sequences within one block of any kernel, and beyond several. */
const lengths = [
  { keys: 41, cuts: [[17], [0, 41], [1, 2, 40]] },
  { keys: 1300, cuts: [[512], [511], [3, 130, 700], [650, 650, 1299]] },
] as const;

/** Keys that come in pieces, in the order of the sequence: the bytes of all at once. */
export function piecesCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) =>
    lengths.flatMap(({ keys, cuts }) => {
      const setup: AttentionSetup = { dtype, batch: 2, queries: 19, keys, heads: 2, headDim: 24 };
      return [
        ...cuts.map((ends) => piecesCase(setup, ends)),
        piecesCase({ ...setup, headDim: 64, layout: "headsFirst", logSumExp: true }, cuts[2]),
        piecesCase({ ...setup, spread: 6, scale: 0.7 }, cuts[2]),
      ];
    }),
  );
}
