import { afterEach, describe, expect, test } from "bun:test";
import { add, memory, synchronize, Tensor } from "@wan-ts/tensor";
import { BenchmarkError, type PreparedCase } from "./case.ts";
import { checkClose, checkDistance } from "./check-close.ts";
import { measure, statistics } from "./measure.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const repeats = { runs: 3, shortestSeconds: 0, longestSeconds: 10 };

function additions(input: Tensor, expected: number): PreparedCase & { readonly runs: () => number } {
  let runs = 0;
  return {
    flops: 4,
    run: () => {
      runs++;
      return add(input, 1);
    },
    check: async (output) => checkClose((await output.floats())[0] as number, expected, 0, "the first value"),
    runs: () => runs,
    [Symbol.dispose]: () => input.dispose(),
  };
}

describe("measure", () => {
  test("runs once to warm up, then as often as asked, and frees what comes out", async () => {
    using prepared = additions(Tensor.full([256], 1), 2);
    const { runs, medianSeconds, minSeconds, peakBytes } = await measure(prepared, repeats);
    expect(runs).toBe(3);
    expect(prepared.runs()).toBe(4);
    expect(minSeconds).toBeGreaterThan(0);
    expect(medianSeconds).toBeGreaterThanOrEqual(minSeconds);
    expect(peakBytes).toBe(2 * 1024);
  });

  test("times nothing whose result is wrong", async () => {
    using prepared = additions(Tensor.full([4], 1), 3);
    const error = await measure(prepared, repeats).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BenchmarkError);
    expect(error).toMatchObject({ found: 2, expected: 3, where: "the first value" });
    expect(prepared.runs()).toBe(1);
  });
});

test("the median lies between, or on the middle one", () => {
  expect(statistics([3, 1, 2])).toEqual({ medianSeconds: 2, minSeconds: 1, runs: 3 });
  expect(statistics([4, 1, 2, 3])).toEqual({ medianSeconds: 2.5, minSeconds: 1, runs: 4 });
});

test("a distance that isn't a number is wrong", () => {
  const values = Float32Array.of(1, 2);
  expect(() => checkDistance(values, values, 0, "all")).not.toThrow();
  expect(() => checkDistance(Float32Array.of(1, Number.NaN), values, 1, "all")).toThrow(BenchmarkError);
  expect(() => checkDistance(Float32Array.of(1, 2.5), values, 0.1, "all")).toThrow(BenchmarkError);
});
