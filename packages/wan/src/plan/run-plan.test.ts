import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadImage } from "@wan-ts/media";
import { type DType, memory, synchronize } from "@wan-ts/tensor";
import { openCheckpoint, type WanCheckpoint } from "../checkpoint.ts";
import type { Stage } from "../events.ts";
import { WanImageToVideoPipeline } from "../image-to-video.ts";
import { fixtureModel, fixtureOptions } from "../testing/fixture-model.ts";
import { rejection } from "../testing/rejection.ts";
import { InsufficientMemoryError } from "./insufficient-memory-error.ts";
import type { Machine } from "./machine.ts";
import type { RunOptions } from "./rehearse-run.ts";
import { planRun, type RunPlan } from "./run-plan.ts";
import { fitsMemory, whatWouldFit } from "./what-would-fit.ts";

const machine: Machine = { availableBytes: 2 ** 40, threads: 2, instructionSet: "portable" };
const tiny = join(import.meta.dir, "../../../../models/wan-tiny");

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

async function tinyRun(
  dtype: DType,
  changes: Partial<RunOptions> = {},
): Promise<RunOptions & { image: never }> {
  const image = await loadImage(join(tiny, "sample.png"));
  const generate = { prompt: "a red ball", image, height: 96, width: 96, numFrames: 9, numInferenceSteps: 2 };
  return { load: { dtype }, generate, ...changes } as RunOptions & { image: never };
}

/** The most tensor bytes of each stage of a run that is computed. */
async function measuredPeaks(checkpoint: WanCheckpoint, run: RunOptions): Promise<Map<Stage, number>> {
  const peaks = new Map<Stage, number>();
  using pipeline = await WanImageToVideoPipeline.fromCheckpoint(checkpoint, run.load);
  if (run.vaeTiling) pipeline.vae.enableTiling();
  using _result = await pipeline.generate({
    ...run.generate,
    image: run.generate.image!,
    onStageEnd: ({ stage, peakBytes }) => void peaks.set(stage, peakBytes),
  });
  return peaks;
}

describe("the tensor bytes of a plan are those of the run, within 10 %", () => {
  for (const dtype of ["float32", "bfloat16"] as const) {
    test(dtype, async () => {
      const checkpoint = await openCheckpoint(tiny);
      const run = await tinyRun(dtype);
      const plan = await planRun(checkpoint, run, machine);
      const measured = await measuredPeaks(checkpoint, run);
      for (const { stage, peakTensorBytes } of plan.stages.slice(1)) {
        const found = measured.get(stage as Stage)!;
        expect(peakTensorBytes / found, stage).toBeWithin(0.9, 1.1);
      }
    });
  }
});

describe("the work of a plan", () => {
  test("is that of the products, by hand", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("text-to-video-unguided"));
    const options = fixtureOptions("text-to-video-unguided");
    const plan = await planRun(checkpoint, { load: { dtype: "float32" }, generate: options }, machine);
    const { transformer, textEncoder } = checkpoint;
    const dim = transformer.numAttentionHeads * transformer.attentionHeadDim;
    const [tokens, steps, text] = [plan.tokens, plan.sizes.steps, plan.sizes.maxSequenceLength];
    const denoise = plan.stages.find(({ stage }) => stage === "denoise")!;
    // Query, key, value and output of both attentions, of which text's keys and values are made once.
    const blockOfStep = 6 * tokens * dim * dim + 2 * tokens * dim * transformer.ffnDim;
    const contextOfBlock = 2 * text * dim * dim;
    const embeddings =
      text * (textEncoder.dModel * dim + dim * dim) +
      steps * (transformer.freqDim * dim + dim * dim + 6 * dim * dim) +
      steps * tokens * dim * transformer.outChannels * 4;
    expect(denoise.flops.linear).toBe(
      2 * (transformer.numLayers * (steps * blockOfStep + contextOfBlock) + embeddings),
    );
    expect(denoise.flops.attention).toBe(
      4 * transformer.numLayers * steps * dim * (tokens * tokens + tokens * text),
    );
    expect(denoise.flops.conv3d).toBe(2 * steps * tokens * dim * transformer.inChannels * 4);
  });

  test("takes twice as long on a machine of half the speed, but for the overhead", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("text-to-video-unguided"));
    const run = { load: { dtype: "float32" }, generate: fixtureOptions("text-to-video-unguided") } as const;
    const secondsAt = async (speed: number): Promise<number> => {
      const measured = { peak: { float32: speed, bfloat16: undefined }, bandwidth: speed };
      return (await planRun(checkpoint, run, { ...machine, speed: measured })).seconds!;
    };
    const [slow, slower] = [await secondsAt(1e3), await secondsAt(5e2)];
    expect(slower / slow).toBeCloseTo(2, 3);
    expect((await planRun(checkpoint, run, machine)).seconds).toBeUndefined();
  });
});

describe("memory that isn't there", () => {
  /** A plan of the run by itself, and a machine that has a little less than it needs. */
  async function tight(
    run: RunOptions,
  ): Promise<{ checkpoint: WanCheckpoint; plan: RunPlan; small: Machine }> {
    const checkpoint = await openCheckpoint(tiny);
    const plan = await planRun(checkpoint, run, machine);
    const short = plan.neededBytes - plan.processBytes - 2 ** 18;
    return { checkpoint, plan, small: { ...machine, availableBytes: short } };
  }

  test("is told, with changes that each make the run fit", async () => {
    const run = await tinyRun("float32");
    const { checkpoint, plan, small } = await tight(run);
    expect(fitsMemory(plan)).toBe(true);
    const fitting = await whatWouldFit(checkpoint, run, small);
    expect(fitting.length).toBeGreaterThan(1);
    for (const { plan: changed } of fitting) expect(fitsMemory(changed)).toBe(true);
    expect(fitting[0]!.change).toEqual({ cpuOffload: true });
    expect(fitting.map(({ change }) => change)).toContainEqual({ quantization: "nf4" });
    expect(fitting.find(({ change }) => change.height)!.change).toMatchObject({ height: 64, width: 64 });
  });

  test("is refused before anything is gone through, where a run is beyond all measure", async () => {
    const checkpoint = await openCheckpoint(tiny);
    const run = await tinyRun("float32");
    const huge = { ...run, generate: { ...run.generate, height: 16_384, width: 16_384, numFrames: 4093 } };
    const small = { ...machine, availableBytes: 2 ** 34 };
    expect(await rejection(planRun(checkpoint, huge, small))).toBeInstanceOf(InsufficientMemoryError);
    expect(await whatWouldFit(checkpoint, huge, { ...small, availableBytes: 2 ** 20 })).toEqual([]);
  });
});
