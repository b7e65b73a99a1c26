import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AttentionBackend, AttentionRegistry } from "@wan-ts/attention";
import { NativeAttentionBackend } from "@wan-ts/attention-native";
import { ContextParallelConfig, ContextParallelError } from "@wan-ts/context-parallel";
import { plannedRanks } from "@wan-ts/distributed";
import { loadImage } from "@wan-ts/media";
import { memory, synchronize } from "@wan-ts/tensor";
import { openCheckpoint, type WanCheckpoint } from "./checkpoint.ts";
import type { LoadOptions } from "./components.ts";
import { loadPipeline } from "./load-pipeline.ts";
import { checkModelAttention, chooseModelAttention } from "./model-attention.ts";
import type { Machine } from "./plan/machine.ts";
import { planRanks } from "./plan/plan-ranks.ts";
import { planRun } from "./plan/run-plan.ts";
import { rejection } from "./testing/rejection.ts";

const tiny = join(import.meta.dir, "../../../models/wan-tiny");
const native = new NativeAttentionBackend();

/** The kernels under another name, declaring less. */
const declaring = (name: string, rowInvariant: boolean, givesLogSumExp: boolean): AttentionBackend => ({
  specificationVersion: 1,
  name,
  rowInvariant,
  refusals: (request) => [
    ...native.refusals(request),
    ...(request.logSumExp && !givesLogSumExp
      ? [{ property: "logSumExp", found: "true", supported: "false" } as const]
      : []),
  ],
  attend: (call) => native.attend(call),
});

const registry = new AttentionRegistry([
  declaring("variant", false, true),
  declaring("fused", true, false),
  native,
]);
const checkpoint = await openCheckpoint(tiny);

const load = (attentionBackend: LoadOptions["attentionBackend"], degrees: object): LoadOptions => ({
  dtype: "float32",
  attention: registry,
  attentionBackend,
  parallel: new ContextParallelConfig(degrees),
  ranks: plannedRanks({ rank: 0, worldSize: 2 }),
});

const folder = mkdtempSync(join(tmpdir(), "wan-attention-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** The checkpoint without its weight files, as far as refusals before loading come. */
function withoutWeights(): Promise<WanCheckpoint> {
  cpSync(tiny, folder, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
  return openCheckpoint(folder);
}

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

describe("attention that can't be split so", () => {
  const cases = [
    ["variant", { ulyssesDegree: 2 }, "attention backend variant must be rowInvariant"],
    ["fused", { ringDegree: 2 }, "attention backend fused must be one that gives the log-sum-exp (such as"],
    [{ vae: "variant" }, { ringDegree: 2 }, "where ranks share out rows of the VAE"],
    [{ imageEncoder: "variant" }, {}, "where ranks share out heads of the image encoder"],
  ] as const;

  test.each(cases)("is refused before weights load: %j, %j", async (name, degrees, told) => {
    const options = load(name, degrees);
    const errors = [
      await rejection(loadPipeline(await withoutWeights(), options)),
      await rejection(Promise.try(() => checkModelAttention(checkpoint, options))),
    ];
    for (const error of errors) {
      expect(ContextParallelError.isInstance(error) && error.code).toBe("attention");
      expect(String(error)).toContain(told);
    }
  });

  test("is refused by a plan, of one rank and of all", async () => {
    const speed = { peak: { float32: 1e11, bfloat16: 2e11 }, bandwidth: 1e10 };
    const machine: Machine = { availableBytes: 2 ** 40, threads: 1, instructionSet: "portable", speed };
    const image = await loadImage(join(tiny, "sample.png"));
    const generate = { prompt: "a ball", image, height: 48, width: 80, numFrames: 5, numInferenceSteps: 1 };
    const alone = await planRun(checkpoint, { load: { dtype: "float32" }, generate }, machine);
    for (const [name, degrees, told] of cases) {
      const run = { load: load(name, degrees), generate };
      expect(String(await rejection(planRun(checkpoint, run, machine)))).toContain(told);
      const setting = { worldSize: 2, bandwidth: 1e9 };
      const planned = planRanks(checkpoint, run, machine, setting, degrees, alone);
      expect(String(await rejection(planned))).toContain(told);
    }
    const run = { load: load("variant", {}), generate };
    const allowed = { ulyssesDegree: 2, allowRowVariant: true };
    const plan = await planRanks(checkpoint, run, machine, { worldSize: 2, bandwidth: 1e9 }, allowed, alone);
    expect(plan.ranks).toHaveLength(2);
  });
});

describe("attention of models", () => {
  const names = (options: LoadOptions): (string | undefined)[] => {
    const { transformer, textEncoder, vae, imageEncoder } = chooseModelAttention(checkpoint, options);
    return [transformer, textEncoder, vae, imageEncoder].map((dispatcher) => dispatcher?.backend.name);
  };

  test("is the first that can, row-invariant for the models that are split", () => {
    expect(names(load(undefined, { ulyssesDegree: 2 }))).toEqual(["variant", "variant", "fused", "fused"]);
    expect(names({ ...load(undefined, {}), parallelTextEncoder: true })[1]).toBe("fused");
    const allowed = { ulyssesDegree: 2, allowRowVariant: true };
    expect(names(load("native", allowed))).toEqual(["native", "variant", "variant", "variant"]);
    expect(names({ ...load("variant", {}), ranks: undefined })).toEqual(Array(4).fill("variant"));
  });

  test("is that of the transformer once it is split", async () => {
    using pipeline = await loadPipeline(checkpoint, {
      ...load(undefined, { ulyssesDegree: 2 }),
      cpuOffload: true,
    });
    expect(pipeline.transformer.attentionBackend).toBe("fused");
    pipeline.transformer.disableParallelism();
    expect(pipeline.transformer.attentionBackend).toBe("variant");
    pipeline.transformer.setAttentionBackend("variant");
    const enable = (): void => pipeline.transformer.enableParallelism({ ulyssesDegree: 2 });
    expect(enable).toThrow("attention backend variant must be rowInvariant");
    expect(pipeline.transformer.parallelism).toBeUndefined();
  });
});
