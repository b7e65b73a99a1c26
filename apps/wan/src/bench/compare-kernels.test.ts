import { expect, test } from "bun:test";
import type { BenchmarkResult } from "./case.ts";
import { formatKernels } from "./compare-kernels.ts";

/** A case of 600 TFLOP, which took so many seconds. */
function result(description: string, medianSeconds: number): BenchmarkResult {
  return {
    name: "attention",
    case: description,
    dtype: "bfloat16",
    device: "cuda:0",
    threads: 1,
    ranks: 1,
    medianSeconds,
    minSeconds: medianSeconds,
    runs: 3,
    gflops: 600_000 / medianSeconds,
    shareOfPeak: null,
    peakBytes: 0,
  };
}

test("a line a case has every kernel's speed, and its share of PyTorch's", () => {
  const peer = { name: "torch cudnn", medianSeconds: 1, ratio: 0.5 };
  const cudnn = { name: "cudnn 9.26.0", medianSeconds: 1.5, ratio: 0.75 };
  const lines = formatKernels([
    { kernel: "plain", results: [{ ...result("S 8", 2), peer, cudnn }, result("S 9", 3)], complete: true },
    { kernel: "pipelined", results: [result("S 8", 1.25)], complete: false },
  ]).split("\n");
  expect(lines).toEqual([
    "TFLOP/s        plain      pipelined  cudnn             pytorch",
    "S 8, bfloat16  300 0.50×  480 0.80×  400 cudnn 9.26.0  600 torch cudnn",
    "S 9, bfloat16  200        –          –                 –",
  ]);
});
