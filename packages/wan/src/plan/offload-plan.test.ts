import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { plannedRanks } from "@wan-ts/distributed";
import { loadImage } from "@wan-ts/media";
import { nf4 } from "@wan-ts/quantization";
import { memory, synchronize } from "@wan-ts/tensor";
import { openCheckpoint } from "../checkpoint.ts";
import type { LoadOptions } from "../components.ts";
import { rejection } from "../testing/rejection.ts";
import type { Machine } from "./machine.ts";
import type { RunOptions } from "./rehearse-run.ts";
import { planRun, type RunPlan } from "./run-plan.ts";
import { whatWouldFit } from "./what-would-fit.ts";

/** A plan for a CUDA device needs none. */
const machine: Machine = { availableBytes: 2 ** 40, threads: 2, instructionSet: "portable" };
const tiny = join(import.meta.dir, "../../../../models/wan-tiny");

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

async function run(load: LoadOptions, size = 32): Promise<RunOptions> {
  const image = await loadImage(join(tiny, "sample.png"));
  return {
    load: { dtype: "float32", device: "cuda:0", ...load },
    generate: {
      prompt: "a red ball",
      image,
      height: size,
      width: size,
      numFrames: 5,
      numInferenceSteps: 1,
      maxSequenceLength: 32,
    },
  };
}

async function planOf(load: LoadOptions): Promise<RunPlan> {
  return await planRun(await openCheckpoint(tiny), await run(load), machine);
}

function stageOf(plan: RunPlan, name: string) {
  return plan.stages.find(({ stage }) => stage === name)!;
}

function partOf(plan: RunPlan, name: string) {
  return plan.parts.find(({ part }) => part === name)!;
}

describe("a plan of a run offloaded by block", () => {
  test("has two blocks on the device where one by part has all", async () => {
    const [byPart, byBlock] = [await planOf({ cpuOffload: true }), await planOf({ cpuOffload: "block" })];
    const whole = partOf(byPart, "transformer");
    const rest = partOf(byBlock, "transformer");
    const blocks = whole.deviceBytes - rest.deviceBytes;
    // Of six blocks one is there in float32 and the next as it is stored, in bfloat16: a quarter of all.
    // Before the first and after the last block none is, so a peak there counts without them.
    const saved = stageOf(byPart, "denoise").peakDeviceBytes - stageOf(byBlock, "denoise").peakDeviceBytes;
    expect(saved / blocks).toBeWithin(0.74, 0.9);
    expect(rest.mappedBytes).toBeWithin(0.49 * blocks, 0.51 * blocks);
    expect(rest.allocatedBytes).toBe(0);
    expect(partOf(byBlock, "textEncoder").deviceBytes).toBeLessThan(
      partOf(byPart, "textEncoder").deviceBytes,
    );
    expect(partOf(byBlock, "vae")).toEqual(partOf(byPart, "vae"));
  });

  test("holds here what is stored wider than it is computed, cast, and what is quantized, as codes", async () => {
    const plain = await planOf({ cpuOffload: "block", dtype: "bfloat16" });
    expect(partOf(plain, "transformer").allocatedBytes).toBe(0);
    const quantized = await planOf({ cpuOffload: "block", dtype: "bfloat16", quantization: nf4() });
    const { allocatedBytes, mappedBytes } = partOf(quantized, "transformer");
    expect(allocatedBytes).toBeLessThan(0.3 * partOf(plain, "transformer").mappedBytes);
    expect(mappedBytes).toBeLessThan(0.02 * partOf(plain, "transformer").mappedBytes);
    expect(stageOf(quantized, "denoise").peakDeviceBytes).toBeLessThan(
      stageOf(plain, "denoise").peakDeviceBytes,
    );
  });

  test("is what would fit where the device is too small for a part", async () => {
    const checkpoint = await openCheckpoint(tiny);
    const changes = async (cpuOffload: boolean | "block", deviceAvailableBytes: number) => {
      const fitting = await whatWouldFit(checkpoint, await run({ cpuOffload }), {
        ...machine,
        deviceAvailableBytes,
      });
      return fitting.map(({ change }) => change);
    };
    const [none, byPart, byBlock] = [
      await planOf({}),
      await planOf({ cpuOffload: true }),
      await planOf({ cpuOffload: "block" }),
    ].map((plan) => plan.peakDeviceBytes) as [number, number, number];
    expect(none).toBeGreaterThan(byPart);
    expect(byPart).toBeGreaterThan(byBlock);
    expect((await changes(false, byPart))[0]).toEqual({ cpuOffload: true });
    expect((await changes(false, byPart - 1))[0]).toEqual({ cpuOffload: "block" });
    expect((await changes(true, byPart - 1))[0]).toEqual({ cpuOffload: "block" });
    expect((await changes("block", byBlock - 1)).some(({ cpuOffload }) => cpuOffload)).toBe(false);
  });

  test("has of a rank's share no more than its own", async () => {
    const load = { cpuOffload: "block", dtype: "bfloat16" } as const;
    const ranks = plannedRanks({ rank: 1, worldSize: 2 });
    const shared = await planOf({ ...load, ranks, parallel: {}, parallelTextEncoder: true });
    const alone = await planOf(load);
    const share = (stage: string) =>
      stageOf(shared, stage).peakDeviceBytes / stageOf(alone, stage).peakDeviceBytes;
    // Of the text encoder's blocks a half, with what isn't split; of the transformer's all.
    expect(share("encodePrompt")).toBeWithin(0.4, 0.8);
    expect(share("denoise")).toBeWithin(0.8, 1.1);
    expect(partOf(shared, "transformer")).toEqual(partOf(alone, "transformer"));
  });

  test("can be of one in tiles", async () => {
    const checkpoint = await openCheckpoint(tiny);
    const whole = await run({ cpuOffload: "block" }, 288);
    const [plain, tiled] = [
      await planRun(checkpoint, whole, machine),
      await planRun(checkpoint, { ...whole, vaeTiling: true }, machine),
    ];
    expect(stageOf(tiled, "decode").peakDeviceBytes).toBeLessThan(stageOf(plain, "decode").peakDeviceBytes);
  });

  test("is refused for the processor", async () => {
    const refused = planOf({ cpuOffload: "block", device: "cpu" });
    expect(await rejection(refused)).toMatchObject({
      code: "pipelineInput",
      option: "cpuOffload",
      found: '"block"',
    });
  });
});
