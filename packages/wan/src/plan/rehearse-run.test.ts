import { afterEach, describe, expect, test } from "bun:test";
import { memory, synchronize, traceOperations } from "@wan-ts/tensor";
import { openCheckpoint } from "../checkpoint.ts";
import { loadPipeline } from "../load-pipeline.ts";
import type { ImageToVideoOptions } from "../options.ts";
import {
  type FixtureName,
  fixtureImageOptions,
  fixtureModel,
  fixtureOptions,
} from "../testing/fixture-model.ts";
import { rejection } from "../testing/rejection.ts";
import { type RunOptions, rehearseRun } from "./rehearse-run.ts";

afterEach(async () => {
  await synchronize();
  expect(memory()).toMatchObject({ liveStorages: 0, liveBytes: 0 });
});

const names: readonly FixtureName[] = [
  "first-last-frame",
  "image-to-video",
  "text-to-video-euler",
  "text-to-video-unguided",
  "ti2v-image-to-video",
  "ti2v-text-to-video",
  "wan22-first-last-frame",
  "wan22-image-to-video",
  "wan22-text-to-video",
];

async function runOf(name: FixtureName, load: RunOptions["load"]): Promise<RunOptions> {
  const generate = name.includes("text-to-video") ? fixtureOptions(name) : await fixtureImageOptions(name);
  return { load: { dtype: "float32", ...load }, generate };
}

/** How often each operation ran. */
function counted(operations: Iterable<readonly [operation: string, count: number]>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [operation, count] of operations) counts[operation] = (counts[operation] ?? 0) + count;
  return counts;
}

describe("a rehearsed run", () => {
  for (const name of names) {
    test(`has the stages and the operations of the run itself: ${name}`, async () => {
      const checkpoint = await openCheckpoint(fixtureModel(name));
      const run = await runOf(name, {});
      const rehearsed = await rehearseRun(checkpoint, run);

      using pipeline = await loadPipeline(checkpoint, {
        ...run.load,
        task: name.includes("text-to-video") ? "textToVideo" : "imageToVideo",
      });
      await synchronize();
      const stages: string[] = ["load"];
      const options = {
        ...run.generate,
        onStageEnd: ({ stage }: { readonly stage: string }) => void stages.push(stage),
      };
      const { result, events } = await traceOperations(() =>
        pipeline.generate(options as typeof options & ImageToVideoOptions),
      );
      using _result = result;
      expect(rehearsed.stages.map(({ stage }) => stage) as string[]).toEqual(stages);
      const operations = rehearsed.stages
        .slice(1)
        .flatMap((stage) => stage.rehearsed.operations.map((each) => [each.operation, each.count] as const));
      expect(counted(operations)).toEqual(counted(events.map((event) => [event.operation, 1] as const)));
    });
  }

  test("knows parameters, and weights that are read in place from those that are made", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("image-to-video"));
    const parts = async (dtype: "float32" | "bfloat16") =>
      (await rehearseRun(checkpoint, await runOf("image-to-video", { dtype }))).parts;
    const [wide, narrow] = [await parts("float32"), await parts("bfloat16")];
    expect(wide.map(({ part }) => part)).toEqual(["textEncoder", "imageEncoder", "transformer", "vae"]);
    for (const { parameters, mappedBytes, allocatedBytes } of wide) {
      expect(mappedBytes + allocatedBytes).toBe(4 * parameters);
    }
    const transformer = narrow.find(({ part }) => part === "transformer");
    // Norms and modulation stay in float32.
    expect(transformer?.allocatedBytes).toBeWithin(transformer!.parameters, 3 * transformer!.parameters);
  });

  test("holds on to one model at a time where weights come on demand", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("wan22-text-to-video"));
    const inPlace = async (cpuOffload: boolean): Promise<number[]> => {
      const { stages } = await rehearseRun(checkpoint, await runOf("wan22-text-to-video", { cpuOffload }));
      return stages.map(({ rehearsed }) => rehearsed.inPlaceBytes + rehearsed.allocatedBytes);
    };
    const [held, onDemand] = [await inPlace(false), await inPlace(true)];
    for (const [stage, bytes] of onDemand.entries()) expect(bytes).toBeLessThan(held[stage]! / 2);
  });

  test("refuses what the run refuses", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("text-to-video-euler"));
    const run = await runOf("text-to-video-euler", {});
    const wrong = { ...run, generate: { ...run.generate, height: 17 } };
    expect(await rejection(rehearseRun(checkpoint, wrong))).toMatchObject({ option: "height" });
  });
});
