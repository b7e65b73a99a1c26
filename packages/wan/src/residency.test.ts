import { afterEach, describe, expect, test } from "bun:test";
import type { ModuleNode } from "@wan-ts/nn";
import { memory, synchronize } from "@wan-ts/tensor";
import { openCheckpoint } from "./checkpoint.ts";
import type { LoadOptions } from "./components.ts";
import { NonFiniteError } from "./errors.ts";
import type { StepCallback } from "./events.ts";
import { WanImageToVideoPipeline } from "./image-to-video.ts";
import { loadPipeline } from "./load-pipeline.ts";
import {
  type FixtureName,
  fixtureImageOptions,
  fixtureModel,
  fixtureOptions,
  ModelCopy,
} from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";
import { WanTextToVideoPipeline } from "./text-to-video.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const name: FixtureName = "wan22-text-to-video";

function textPipeline(options: LoadOptions = {}): Promise<WanTextToVideoPipeline> {
  return WanTextToVideoPipeline.fromPretrained(fixtureModel(name), { dtype: "float32", ...options });
}

/** Whether any weight of a model is held. */
function held(module: ModuleNode | undefined): boolean {
  return [...(module?.namedParameters() ?? [])].some(([, parameter]) => parameter.optional !== undefined);
}

async function latentsOf(
  pipeline: WanTextToVideoPipeline,
  callbackOnStepEnd?: StepCallback,
): Promise<Float32Array> {
  using result = await pipeline.generate({
    ...fixtureOptions(name),
    ...(callbackOnStepEnd ? { callbackOnStepEnd } : {}),
  });
  return await result.latents.floats();
}

describe("cpuOffload", () => {
  test("holds one expert while it denoises, and nothing between runs", async () => {
    using pipeline = await textPipeline({ cpuOffload: true });
    const models = (): boolean[] =>
      [pipeline.textEncoder, pipeline.transformer, pipeline.transformer2, pipeline.vae].map(held);
    expect(models()).toEqual([false, false, false, false]);
    const atSteps: boolean[][] = [];
    await latentsOf(pipeline, () => {
      atSteps.push(models());
    });
    const high = [false, true, false, false];
    const low = [false, false, true, false];
    expect(atSteps).toEqual([high, high, low, low, low, low]);
    expect(models()).toEqual([false, false, false, false]);
    pipeline.promptCache.clear();
    await synchronize();
    expect(memory().liveStorages).toBe(0);
  });

  test.each<FixtureName>(["first-last-frame", "wan22-image-to-video", "ti2v-image-to-video"])(
    "changes no byte of %s",
    async (fixture) => {
      const videos: Float32Array[] = [];
      for (const cpuOffload of [false, true]) {
        using pipeline = await WanImageToVideoPipeline.fromPretrained(fixtureModel(fixture), { cpuOffload });
        using result = await pipeline.generate(await fixtureImageOptions(fixture));
        videos.push(result.frames.data as Float32Array);
      }
      expect(videos[1]).toEqual(videos[0]!);
    },
  );

  test("keeps what was set on a model while its weights come and go", async () => {
    using pipeline = await textPipeline({ cpuOffload: true });
    const plain = await latentsOf(pipeline);
    let passes = 0;
    pipeline.transformer2!.hooks.add({
      name: "count",
      before: () => {
        passes++;
      },
    });
    pipeline.transformer.setAttentionBackend("reference");
    const other = await latentsOf(pipeline);
    expect(passes).toBe(8);
    expect(pipeline.transformer.attentionBackend).toBe("reference");
    expect(other.every((value, at) => Math.abs(value - plain[at]!) < 1e-4)).toBe(true);
  });

  test("an expert that has no step is never read", async () => {
    using pipeline = await textPipeline({ cpuOffload: true });
    using result = await pipeline.generate({ ...fixtureOptions(name), numInferenceSteps: 1 });
    expect(result.latents.shape).toEqual([1, 16, 2, 4, 6]);
    let read = false;
    pipeline.transformer2!.hooks.add({
      name: "read",
      before: () => {
        read = true;
      },
    });
    (await pipeline.generate({ ...fixtureOptions(name), numInferenceSteps: 1 }))[Symbol.dispose]();
    expect(read).toBe(false);
  });

  test("an aborted run leaves no weights behind", async () => {
    using pipeline = await textPipeline({ cpuOffload: true, promptCacheSize: 0 });
    const controller = new AbortController();
    const run = pipeline.generate({
      ...fixtureOptions(name),
      signal: controller.signal,
      callbackOnStepEnd: ({ step }) => {
        if (step === 3) setTimeout(() => controller.abort(), 0);
      },
    });
    expect(await rejection(run)).toHaveProperty("name", "AbortError");
    await synchronize();
    expect(memory().liveStorages).toBe(0);
  });
});

describe("prompts", () => {
  test("are encoded once, however often they are used", async () => {
    using pipeline = await textPipeline();
    const encoded: number[] = [];
    pipeline.textEncoder.hooks.add({
      name: "count",
      before: ({ inputIds }) => {
        encoded.push(inputIds.size(0));
      },
    });
    const first = await latentsOf(pipeline);
    expect(encoded).toEqual([1, 1]);
    expect(await latentsOf(pipeline)).toEqual(first);
    expect(encoded).toHaveLength(2);
    (await pipeline.encodePrompt("another", { maxSequenceLength: 64 })).dispose();
    // White space is cleaned away before prompts are told apart.
    (await pipeline.encodePrompt(["another", "  another "], { maxSequenceLength: 64 })).dispose();
    expect(encoded).toHaveLength(3);
    (await pipeline.encodePrompt("another", { maxSequenceLength: 32 })).dispose();
    expect(encoded).toHaveLength(4);
  });

  test("have the same embeddings alone as with others", async () => {
    using pipeline = await textPipeline({ promptCacheSize: 0 });
    const prompts = ["short", "a prompt of many more words than the other"];
    using both = await pipeline.encodePrompt(prompts, { maxSequenceLength: 64 });
    using second = await pipeline.encodePrompt(prompts[1]!, { maxSequenceLength: 64 });
    using row = both.slice(0, 1);
    expect(await row.floats()).toEqual(await second.floats());
    expect(pipeline.promptCache.size).toBe(0);
  });
});

test("values that aren't finite name the step, and the weight that made them so", async () => {
  await using copy = await ModelCopy.of(name);
  const file = "transformer_2/diffusion_pytorch_model.safetensors";
  await copy.spoil(file, "proj_out.bias");
  for (const cpuOffload of [false, true]) {
    using pipeline = await WanTextToVideoPipeline.fromPretrained(copy.path, { cpuOffload });
    const error = await rejection(pipeline.generate(fixtureOptions(name)));
    expect(error).toBeInstanceOf(NonFiniteError);
    expect((error as NonFiniteError).step).toBe(3);
    expect((error as NonFiniteError).weight).toEqual({ model: "transformer2", parameter: "proj_out.bias" });
  }
});

describe("loadPipeline", () => {
  test.each<[FixtureName, "textToVideo" | "imageToVideo" | undefined, string]>([
    ["text-to-video-euler", undefined, "textToVideo"],
    ["image-to-video", undefined, "imageToVideo"],
    ["ti2v-image-to-video", undefined, "imageToVideo"],
    ["ti2v-image-to-video", "textToVideo", "textToVideo"],
    ["ti2v-text-to-video", "imageToVideo", "imageToVideo"],
  ])("makes of %s for %p a pipeline for %s", async (fixture, task, expected) => {
    using pipeline = await loadPipeline(await openCheckpoint(fixtureModel(fixture)), {
      task,
      cpuOffload: true,
    });
    expect(pipeline.task).toBe(expected as "textToVideo");
  });

  test("refuses a task that the checkpoint isn't for", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("image-to-video"));
    expect(await rejection(loadPipeline(checkpoint, { task: "textToVideo" }))).toHaveProperty(
      "message",
      `${checkpoint.path}: expected a text-to-video checkpoint, found an image-to-video checkpoint`,
    );
  });
});
