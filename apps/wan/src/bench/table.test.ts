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

test("bandwidths have a column of their own where there are any", () => {
  const bound = { gflops: null, shareOfPeak: null, gigabytesPerSecond: 3210, shareOfBandwidth: 0.67 };
  const [head, first, second] = formatTable([
    { ...result, device: "cuda:0", shareOfPeak: null },
    { ...result, device: "cuda:0", ...bound },
  ]).split("\n");
  expect(head).toMatch(/GFLOP\/s +GB\/s +of peak/);
  expect(first).toMatch(/ 3 +200 +– +– +3 MiB$/);
  expect(second).toMatch(/ 3 +– +3210 +67 % +3 MiB$/);
});
