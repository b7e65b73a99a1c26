import { expect, test } from "bun:test";
import type { BenchmarkResult } from "./case.ts";
import { formatTable } from "./table.ts";

const result: BenchmarkResult = {
  name: "linear",
  case: "M 4",
  dtype: "float32",
  device: "cpu",
  threads: 2,
  ranks: 1,
  medianSeconds: 0.0125,
  minSeconds: 0.0000125,
  runs: 3,
  gflops: 200.4,
  shareOfPeak: 0.876,
  peakBytes: 3 << 20,
};

test("a table has a line a result, with units, and a dash where there is no figure", () => {
  const peer = { name: "torch", medianSeconds: 2, ratio: 1.5 };
  const [head, first, second] = formatTable([
    result,
    { ...result, gflops: null, shareOfPeak: null, peer },
  ]).split("\n");
  expect(head).toMatch(/^name +case +dtype +median +min +runs +GFLOP\/s +of peak +tensors +peer$/);
  expect(first).toMatch(/^linear +M 4 +float32 +12\.50 ms +12\.5 µs +3 +200 +88 % +3 MiB$/);
  expect(second).toMatch(/ 3 +– +– +3 MiB +2\.00 s, 1\.50×$/);
});
