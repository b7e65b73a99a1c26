import { expect, test } from "bun:test";
import type { BenchmarkResult } from "./case.ts";
import { describeOutcome, formatTable } from "./table.ts";

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

test("shares of what is published have a column of their own where it is known", () => {
  const lines = formatTable([
    { ...result, device: "cuda:0", shareOfPublished: 0.5 },
    { ...result, device: "cuda:0", shareOfPublished: null },
  ]).split("\n");
  expect(lines[0]).toMatch(/of peak +of data sheet +tensors/);
  expect(lines[1]).toMatch(/ 88 % +50 % +3 MiB$/);
  expect(lines[2]).toMatch(/ 88 % +– +3 MiB$/);
  expect(formatTable([{ ...result, shareOfPublished: null }])).not.toContain("data sheet");
});

test("what cuDNN took has a column of its own where there is one, and is told", () => {
  const cudnn = { name: "cudnn 9.26.0", medianSeconds: 0.005, ratio: 0.4 };
  const lines = formatTable([{ ...result, cudnn }, result]).split("\n");
  expect(lines[0]).toMatch(/ tensors +cudnn +peer$/);
  expect(lines[1]).toMatch(/ 3 MiB +5\.00 ms, 0\.40×$/);
  expect(lines[2]).toMatch(/ 3 MiB$/);
  expect(describeOutcome({ ...result, cudnn })).toEndWith("; 0.40× of cudnn 9.26.0, 5.00 ms");
  expect(describeOutcome({ ...result, cudnnAbsent: "no libcudnn.so.9" })).toEndWith(
    "; no cudnn: no libcudnn.so.9",
  );
});

test("each case is told in one line when it is done, with why it has no figures where it has none", () => {
  expect(describeOutcome({ ...result, peerAbsent: "No module named 'diffusers'" })).toBe(
    "linear: M 4, float32: 12.50 ms; 200 GFLOP/s; 88 % of peak; no peer: No module named 'diffusers'",
  );
  const peer = { name: "torch 2.11", medianSeconds: 0.025, ratio: 2 };
  const bound = { gflops: null, shareOfPeak: null, gigabytesPerSecond: 3210, shareOfBandwidth: 0.67, peer };
  expect(describeOutcome({ ...result, ...bound })).toBe(
    "linear: M 4, float32: 12.50 ms; 3210 GB/s; 67 % of peak; 2.00× of torch 2.11, 25.00 ms",
  );
  const { name, case: description, dtype, device } = result;
  expect(describeOutcome({ name, case: description, dtype, device, error: "wrong result at row 3" })).toBe(
    "linear: M 4, float32: failed: wrong result at row 3",
  );
});
