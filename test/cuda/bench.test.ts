import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { attentionCase } from "@wan-ts/app/src/bench/attention.ts";
import { blocksCase } from "@wan-ts/app/src/bench/blocks.ts";
import { type BenchmarkCase, BenchmarkError } from "@wan-ts/app/src/bench/case.ts";
import { linearCase } from "@wan-ts/app/src/bench/linear.ts";
import { measure } from "@wan-ts/app/src/bench/measure.ts";
import { CudnnAttentionBackend } from "@wan-ts/attention-native";
import { parseTransformerConfig } from "@wan-ts/models";
import { Tensor } from "@wan-ts/tensor";
import { runApp, TemporaryFolder } from "@wan-ts/test/app/run-app.ts";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { missingCudnn } from "./missing-cudnn.ts";
import { isShortRun, testDevice } from "./test-device.ts";

const device = testDevice();
const missing = missingCudnn(new CudnnAttentionBackend());
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

test.skipIf(missing !== undefined)(`attention by cuDNN is checked as ours is, on ${device}`, async () => {
  using prepared = await attentionCase({ queries: 9, keys: 17, heads: 6, headDim: 16 }, "bfloat16").prepare(
    device,
  );
  const { cudnn } = prepared;
  if (!cudnn || "absent" in cudnn) throw new Error(`no cuDNN: ${cudnn?.absent ?? "not asked for"}`);
  expect(cudnn.name).toMatch(/^cudnn \d+\.\d+\.\d+$/);
  using output = cudnn.run();
  await prepared.check(output);
});

describe(`the program of benchmarks on ${device}`, () => {
  const main = join(import.meta.dir, "../../apps/wan/src/bench/main.ts");
  const args = ["--device", device, "--only", "peak", "--runs", "1", "--json", "a.json"];
  const driver = { WAN_CUDA_DRIVER: process.env.WAN_CUDA_DRIVER ?? "" };
  const cases = [
    ["bfloat16", /^M \d+, N \d+, K \d+$/],
    ["float32", /^M \d+, N \d+, K \d+$/],
    ["bfloat16", /^copy of /],
  ] as const;

  test("measures the device's own ceilings", async () => {
    using folder = new TemporaryFolder();
    const { status, stdout, stderr } = await runApp(folder.path, args, { main, env: driver });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout.trimEnd().split("\n")).toHaveLength(1 + cases.length);
    expect(stderr.trimEnd().split("\n")).toHaveLength(cases.length);
    const results = (await Bun.file(folder.file("a.json")).json()) as Record<string, unknown>[];
    for (const [index, [dtype, description]] of cases.entries()) {
      const share = index < 2 ? { shareOfPeak: 1 } : { shareOfBandwidth: 1 };
      expect(results[index]).toMatchObject({ name: "peak", dtype, device, ...share });
      expect(results[index]?.case).toMatch(description);
    }
    expect(folder.names).toEqual(["a.json"]);
  });

  // A device of the emulator's, which can be made as small as one likes.
  test.skipIf(!isShortRun())("goes on after a case that fails, and tells it", async () => {
    using folder = new TemporaryFolder();
    // Too few for the copy.
    const env = { ...driver, WAN_EMULATOR_MEMORY: String(400 << 10) };
    const { status, stdout, stderr } = await runApp(folder.path, args, { main, env });
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toMatch(/: failed: .*no memory for /);
    const outcomes = (await Bun.file(folder.file("a.json")).json()) as Record<string, unknown>[];
    const failed = outcomes.filter((outcome) => "error" in outcome).length;
    expect(outcomes).toHaveLength(cases.length);
    expect(failed).toBeWithin(1, cases.length);
    expect(stderr).toEndWith(`error: ${failed} of ${cases.length} cases failed; see above\n`);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1 + cases.length - failed);
  });
});
