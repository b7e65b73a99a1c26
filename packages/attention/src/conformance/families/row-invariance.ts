import { type AttentionSetup, testedDTypes } from "../attention-setup.ts";
import type { ConformanceCase } from "../conformance-case.ts";
import { rowInvarianceCase, threadInvarianceCase } from "../same-bytes-case.ts";

const [batch, queries, keys, heads] = [2, 37, 70, 3];
const all = { batch: [0, batch], queries: [0, queries], heads: [0, heads] } as const;
const parts = [
  { ...all, queries: [0, 1] },
  { ...all, queries: [17, 18] },
  { ...all, queries: [36, 37] },
  { ...all, queries: [5, 24] },
  { ...all, heads: [1, 2] },
  { ...all, batch: [1, 2] },
  { batch: [1, 2], queries: [33, 37], heads: [2, 3] },
] as const;

/** Rows computed alone, among others, and by other numbers of threads: the same bytes. */
export function rowInvarianceCases(): ConformanceCase[] {
  return testedDTypes.flatMap((dtype) => {
    const plain: AttentionSetup = { dtype, batch, queries, keys, heads, headDim: 24 };
    const masked: AttentionSetup = { ...plain, keys: 530, mask: "hiddenRows", logSumExp: true };
    return [
      ...parts.map((part) => rowInvarianceCase(plain, part)),
      rowInvarianceCase({ ...plain, headDim: 128 }, parts[3]),
      rowInvarianceCase(masked, parts[3]),
      rowInvarianceCase(masked, parts[6]),
      threadInvarianceCase(plain),
      threadInvarianceCase(masked),
    ];
  });
}
