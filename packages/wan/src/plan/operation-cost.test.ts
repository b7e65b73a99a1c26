import { describe, expect, test } from "bun:test";
import type { Operand, RehearsedOperation } from "@wan-ts/tensor";
import { kernelScratch } from "./kernel-scratch.ts";
import { operationCost } from "./operation-cost.ts";
import { operationSeconds } from "./operation-seconds.ts";

const float32 = (...shape: number[]): Operand => ({ dtype: "float32", shape });
const bfloat16 = (...shape: number[]): Operand => ({ dtype: "bfloat16", shape });
const operation = (
  name: string,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
): RehearsedOperation => ({ operation: name, inputs, outputs, count: 3, peakResidentBytes: 0 });

const product = operation("linear", [float32(5, 7), float32(11, 7), float32(11)], [float32(5, 11)]);
const convolution = operation(
  "conv3d",
  [bfloat16(1, 3, 8, 8, 4), bfloat16(6, 4, 3, 3, 3)],
  [bfloat16(1, 3, 8, 8, 6)],
);
const attention = operation(
  "attention",
  [bfloat16(2, 10, 3, 16), bfloat16(2, 20, 3, 16), bfloat16(2, 20, 3, 16)],
  [bfloat16(2, 10, 3, 16)],
);
const sum = operation("add", [float32(4, 4), float32(4)], [float32(4, 4)]);

describe("the cost of one run of an operation", () => {
  test.each([
    ["linear", product, 2 * 5 * 7 * 11, 4 * (35 + 77 + 11 + 55)],
    ["conv3d", convolution, 2 * (3 * 64 * 6) * (4 * 27), 2 * (3 * 64 * 4 + 6 * 4 * 27 + 3 * 64 * 6)],
    ["attention", attention, 4 * 2 * 3 * 10 * 20 * 16, 2 * (2 * 960 + 2 * 1920)],
    ["other", sum, 16, 4 * (16 + 4 + 16)],
  ] as const)("%s", (kind, of, flops, bytes) => {
    expect(operationCost(of)).toEqual({ kind, flops, bytes });
  });
});

describe("seconds of all runs of an operation", () => {
  const peak = { float32: 1e6, bfloat16: 1e9 };

  test("go by memory where nothing is computed to speak of", () => {
    const [at, faster] = [1e3, 2e3].map((bandwidth) => operationSeconds(sum, { peak, bandwidth }));
    expect(at).toBeGreaterThan((3 * 144) / 1e3);
    expect(faster).toBeCloseTo(at! / 2, 3);
  });

  test("have the patches of a convolution beside its products", () => {
    const [narrow, wide] = [6, 600].map((outputs) => {
      const channels = operation(
        "conv3d",
        [float32(1, 3, 8, 8, 4), float32(outputs, 4, 3, 3, 3)],
        [float32(1, 3, 8, 8, outputs)],
      );
      return operationSeconds(channels, { peak: { ...peak, float32: 1e12 }, bandwidth: 1e6 });
    });
    // As many patches, whatever they are multiplied by.
    expect(wide! / narrow!).toBeCloseTo(1, 2);
    expect(narrow).toBeCloseTo((3 * (2 * 4) * (3 * 64) * (4 * 27)) / 1e6, 3);
  });

  test("go by the peak of the operands' dtype where memory is fast", () => {
    const speed = { peak, bandwidth: 1e18 };
    expect(operationSeconds(product, speed)).toBeGreaterThan((3 * 770) / 1e6);
    expect(operationSeconds(attention, speed)).toBeGreaterThan((3 * 76_800) / 1e9);
    const widened = { ...speed, peak: { ...peak, bfloat16: undefined } };
    expect(operationSeconds(attention, widened)).toBeGreaterThan((3 * 76_800) / 1e6);
  });
});

describe("what kernels work in", () => {
  const machine = { threads: 1, instructionSet: "avx512bf16" };
  const threadOf = (of: RehearsedOperation): number =>
    kernelScratch(of, { ...machine, threads: 2 }) - kernelScratch(of, machine);

  test("is the smaller operand, packed, and a block for each thread", () => {
    expect(kernelScratch(product, machine) - threadOf(product)).toBe(4 * 5 * 7);
  });

  test("has bounds", () => {
    const large = operation("linear", [float32(50_000, 20_000), float32(50_000, 20_000)], [float32(1)]);
    expect(kernelScratch(large, machine) - threadOf(large)).toBe(31 * 2 ** 20);
  });

  test("is half of that for bfloat16, where it isn't widened", () => {
    const [narrow, wide] = ["avx512bf16", "avx2"].map((instructionSet) => {
      return kernelScratch(attention, { threads: 1, instructionSet }) - threadOf(attention);
    });
    expect(wide).toBe(2 * narrow!);
  });

  test("is nothing for what only moves", () => {
    expect(kernelScratch(sum, machine)).toBe(0);
  });
});
