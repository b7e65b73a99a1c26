import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  availableInstructionSets,
  instructionSet,
  measurePeak,
  setInstructionSet,
  TensorError,
} from "./index.ts";

let before: string;
beforeEach(() => {
  before = instructionSet();
});
afterEach(() => setInstructionSet(before));

describe("measurePeak", () => {
  test("finds a single-precision peak on every instruction set", async () => {
    for (const set of availableInstructionSets()) {
      setInstructionSet(set);
      expect(await measurePeak("float32", 0.002)).toBeGreaterThan(0);
    }
  });

  test("has a bfloat16 peak only where there are dot products of bfloat16", async () => {
    for (const set of availableInstructionSets()) {
      setInstructionSet(set);
      expect((await measurePeak("bfloat16", 0.002)) !== undefined).toBe(set === "avx512bf16");
    }
  });

  test("refuses durations out of range", async () => {
    for (const seconds of [-1, 61, Number.NaN]) {
      const error = await measurePeak("float32", seconds).catch((caught: unknown) => caught);
      expect(TensorError.isInstance(error) && error.argument).toBe("seconds");
    }
  });
});
