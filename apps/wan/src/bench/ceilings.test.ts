import { expect, test } from "bun:test";
import type { BenchmarkResult } from "./case.ts";
import { type Ceilings, withShares } from "./ceilings.ts";

const result: BenchmarkResult = {
  name: "linear",
  case: "M 4",
  dtype: "bfloat16",
  device: "cuda:0",
  threads: 2,
  ranks: 1,
  medianSeconds: 1,
  minSeconds: 1,
  runs: 3,
  gflops: 300,
  shareOfPeak: null,
  peakBytes: 0,
};

const ceilings: Ceilings = {
  gflops: { bfloat16: 600, float32: null },
  gigabytesPerSecond: 4000,
  published: { flops: { bfloat16: 1000e9, float32: 60e9 }, bytesPerSecond: 5e12 },
};

test("results are shares of what was measured in the same run, and of what is published", () => {
  expect(withShares(result, ceilings)).toEqual({ ...result, shareOfPeak: 0.5, shareOfPublished: 0.3 });
  const unknown = withShares({ ...result, dtype: "float32" }, { ...ceilings, published: null });
  expect(unknown).toMatchObject({ shareOfPeak: null, shareOfPublished: null });
});

test("what memory bounds is a share of bandwidths", () => {
  const bound = { ...result, gflops: null, gigabytesPerSecond: 3000 };
  expect(withShares(bound, ceilings)).toMatchObject({
    shareOfPeak: null,
    shareOfBandwidth: 0.75,
    shareOfPublished: 0.6,
  });
});

test("nothing is published of a processor", () => {
  const here = { ...result, device: "cpu" } as const;
  expect(withShares(here, ceilings)).toEqual({ ...here, shareOfPeak: 0.5 });
});
