import { describe, expect, test } from "bun:test";
import { attentionCase } from "@wan-ts/app/src/bench/attention.ts";
import { blocksCase } from "@wan-ts/app/src/bench/blocks.ts";
import { type BenchmarkCase, BenchmarkError } from "@wan-ts/app/src/bench/case.ts";
import { linearCase } from "@wan-ts/app/src/bench/linear.ts";
import { measure } from "@wan-ts/app/src/bench/measure.ts";
import { parseTransformerConfig } from "@wan-ts/models";
import { Tensor } from "@wan-ts/tensor";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { testDevice } from "./test-device.ts";

const device = testDevice();
expectNothingLeft();

const config = parseTransformerConfig(
  { num_attention_heads: 2, attention_head_dim: 12, ffn_dim: 40, num_layers: 1, text_dim: 16 },
  "a small transformer",
);
const setup = { case: "small", config, lengths: { grid: [1, 2, 3], text: 7, image: 0 } } as const;

/** The benchmarks' cases at sizes that take no time. */
const cases: readonly BenchmarkCase[] = (["bfloat16", "float32"] as const).flatMap((dtype) => [
  linearCase([300, 33, 40], dtype),
  attentionCase({ queries: 21, keys: 37, heads: 6, headDim: 16 }, dtype),
  blocksCase({ ...setup, case: "a small block", whole: false }, dtype),
  blocksCase({ ...setup, case: "a small transformer", whole: true }, dtype),
]);

describe(`benchmarks on ${device}`, () => {
  for (const one of cases) {
    test(`are checked and timed: ${one.case}, ${one.dtype}`, async () => {
      using prepared = await one.prepare(device);
      const repeats = { runs: 1, shortestSeconds: 0, longestSeconds: 0.001 };
      const { runs, medianSeconds, peakBytes } = await measure(prepared, repeats, device);
      expect(runs).toBe(1);
      expect(medianSeconds).toBeGreaterThan(0);
      expect(peakBytes).toBeGreaterThan(0);
      expect(prepared.flops).toBeGreaterThan(0);
      using output = await prepared.run();
      expect(output.device).toBe(device);
      using spoiled = Tensor.full(output.shape, Number.NaN, output.dtype, device);
      const error = await Promise.resolve(prepared.check(spoiled)).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(BenchmarkError);
    });
  }
});
