import { afterEach, describe, expect, test } from "bun:test";
import { memory, scope, synchronize, Tensor } from "@wan-ts/tensor";
import { PipelineInputError } from "./errors.ts";
import type { Stage, StepEvent } from "./events.ts";
import { WanImageToVideoPipeline } from "./image-to-video.ts";
import type { GenerateOptions } from "./options.ts";
import {
  type FixtureName,
  fixtureImageOptions,
  fixtureModel,
  fixtureOptions,
} from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";
import { WanTextToVideoPipeline } from "./text-to-video.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const name: FixtureName = "wan22-text-to-video";

function pipelineOf(): Promise<WanTextToVideoPipeline> {
  return WanTextToVideoPipeline.fromPretrained(fixtureModel(name), { dtype: "float32" });
}

function options(changes: GenerateOptions = {}): GenerateOptions {
  return { ...fixtureOptions(name), outputType: "latent", ...changes };
}

async function latentsOf(pipeline: WanTextToVideoPipeline, changes: GenerateOptions): Promise<Float32Array> {
  using result = await pipeline.generate(options(changes));
  return await result.latents.floats();
}

describe("callbackOnStepEnd", () => {
  test("is told of every step, across both experts", async () => {
    using pipeline = await pipelineOf();
    const events: StepEvent[] = [];
    await latentsOf(pipeline, {
      callbackOnStepEnd: (event, tensors) => {
        events.push(event);
        expect(tensors.latents.shape).toEqual([1, 16, 2, 4, 6]);
        expect(tensors.promptEmbeds.shape).toEqual([1, 64, 16]);
        expect(tensors.negativePromptEmbeds?.shape).toEqual([1, 64, 16]);
      },
    });
    expect(events.map(({ step, steps }) => [step, steps])).toEqual([1, 2, 3, 4, 5, 6].map((at) => [at, 6]));
    expect(events.map(({ timestep }) => timestep)).toEqual([999, 937, 857, 750, 600, 376]);
    expect(events.at(-1)?.sigma).toBe(0);
  });

  test("puts other latents in place, which the loop then owns", async () => {
    using pipeline = await pipelineOf();
    const put: Tensor[] = [];
    const made = await latentsOf(pipeline, {
      callbackOnStepEnd: ({ step, steps }, { latents }) => {
        const replaced = scope(() => Tensor.full(latents.shape, step / steps));
        put.push(replaced);
        return { latents: replaced };
      },
    });
    expect(made.every((value) => value === 1)).toBe(true);
    expect(put.every((tensor) => tensor.isDisposed)).toBe(true);
  });

  test("puts other embeddings in place from the next step on, with any number of text tokens", async () => {
    using pipeline = await pipelineOf();
    const plain = await latentsOf(pipeline, {});
    const swapAfter = (swap: number): Promise<Float32Array> =>
      latentsOf(pipeline, {
        callbackOnStepEnd: async ({ step }) => {
          if (step !== swap) return undefined;
          return {
            promptEmbeds: await pipeline.encodePrompt("something else", { maxSequenceLength: 32 }),
            negativePromptEmbeds: await pipeline.encodePrompt("", { maxSequenceLength: 16 }),
          };
        },
      });
    expect(await swapAfter(6)).toEqual(plain);
    expect(await swapAfter(4)).not.toEqual(plain);
    // At the change of experts, the second one is prepared for the new embeddings alone.
    expect(await swapAfter(2)).not.toEqual(plain);
  });

  test("may hand back what it was given", async () => {
    using pipeline = await pipelineOf();
    const plain = await latentsOf(pipeline, {});
    expect(
      await latentsOf(pipeline, {
        callbackOnStepEnd: (_, tensors) => ({ latents: tensors.latents, promptEmbeds: tensors.promptEmbeds }),
      }),
    ).toEqual(plain);
  });

  test("is refused tensors that don't fit, which are freed", async () => {
    using pipeline = await pipelineOf();
    const shapes = { latents: [1, 16, 2, 4, 4], promptEmbeds: [1, 64, 8], negativePromptEmbeds: [2, 64, 16] };
    for (const [key, shape] of Object.entries(shapes)) {
      const error = await rejection(
        pipeline.generate(options({ callbackOnStepEnd: () => ({ [key]: Tensor.zeros(shape) }) })),
      );
      expect(error).toBeInstanceOf(PipelineInputError);
      expect((error as PipelineInputError).option).toBe(`${key} of callbackOnStepEnd`);
    }
    const unguided = rejection(
      pipeline.generate(
        options({
          guidanceScale: 1,
          callbackOnStepEnd: () => ({ negativePromptEmbeds: Tensor.zeros([1, 64, 16]) }),
        }),
      ),
    );
    expect(((await unguided) as PipelineInputError).expected).toBe("left out, as there is no guidance");
  });

  test("ends the run with its own error", async () => {
    using pipeline = await pipelineOf();
    const thrown = new Error("enough");
    const run = pipeline.generate(
      options({
        callbackOnStepEnd: () => {
          throw thrown;
        },
      }),
    );
    expect(await rejection(run)).toBe(thrown);
  });
});

describe("stages", () => {
  test("begin and end in order, each with its time and memory", async () => {
    using pipeline = await WanImageToVideoPipeline.fromPretrained(fixtureModel("first-last-frame"), {
      dtype: "float32",
    });
    const told: string[] = [];
    using result = await pipeline.generate({
      ...(await fixtureImageOptions("first-last-frame")),
      onStageStart: (stage) => told.push(`${stage} begins`),
      onStageEnd: ({ stage, seconds, peakBytes }) => {
        expect(seconds).toBeGreaterThan(0);
        expect(peakBytes).toBeGreaterThan(0);
        told.push(`${stage} ends`);
      },
    });
    expect(result.frames.numFrames).toBe(9);
    const stages: Stage[] = ["encodePrompt", "encodeImage", "encodeCondition", "denoise", "decode"];
    expect(told).toEqual(stages.flatMap((stage) => [`${stage} begins`, `${stage} ends`]));
  });
});

describe("an aborted run", () => {
  /** The model at work in each stage, which aborts the run once it has submitted its first work. */
  const abortWhen: Record<Stage, (pipeline: WanImageToVideoPipeline, abort: () => void) => void> = {
    encodePrompt: (pipeline, after) => pipeline.textEncoder.hooks.add({ name: "abort", after }),
    encodeImage: (pipeline, after) => pipeline.imageEncoder!.hooks.add({ name: "abort", after }),
    encodeCondition: (pipeline, after) => pipeline.vae.encoder.hooks.add({ name: "abort", after }),
    denoise: (pipeline, after) => pipeline.transformer.blocks.items[0]!.hooks.add({ name: "abort", after }),
    decode: (pipeline, after) => pipeline.vae.decoder.hooks.add({ name: "abort", after }),
  };

  test.each(Object.keys(abortWhen) as Stage[])(
    "frees everything and gives the signal's reason: in %s",
    async (at) => {
      using pipeline = await WanImageToVideoPipeline.fromPretrained(fixtureModel("first-last-frame"), {
        dtype: "float32",
        promptCacheSize: 0,
      });
      await synchronize();
      const weights = memory().liveStorages;
      const controller = new AbortController();
      const reason = new Error(`cancelled in ${at}`);
      abortWhen[at](pipeline, () => controller.abort(reason));
      let reached: Stage | undefined;
      const run = pipeline.generate({
        ...(await fixtureImageOptions("first-last-frame")),
        signal: controller.signal,
        onStageStart: (stage) => {
          reached = stage;
        },
      });
      expect(await rejection(run)).toBe(reason);
      expect(reached).toBe(at);
      // Rotary tables stay with the transformer.
      pipeline.transformer.rope.dispose();
      await synchronize();
      expect(memory().liveStorages).toBe(weights);
    },
  );

  test("may be followed by another with the bytes of one that was never aborted", async () => {
    using pipeline = await pipelineOf();
    const plain = await latentsOf(pipeline, {});
    const controller = new AbortController();
    const run = pipeline.generate(
      options({
        signal: controller.signal,
        callbackOnStepEnd: ({ step }) => void (step === 3 && controller.abort()),
      }),
    );
    expect((await rejection(run)) as DOMException).toHaveProperty("name", "AbortError");
    expect(await latentsOf(pipeline, {})).toEqual(plain);
  });
});
