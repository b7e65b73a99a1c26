import { afterEach, describe, expect, test } from "bun:test";
import { Generator, memory, synchronize, Tensor } from "@wan-ts/tensor";
import { openCheckpoint } from "./checkpoint.ts";
import type { LoadOptions } from "./components.ts";
import { PipelineInputError } from "./errors.ts";
import { WanImageToVideoPipeline } from "./image-to-video.ts";
import type { OutputType } from "./options.ts";
import type { GenerateResult } from "./result.ts";
import {
  type FixtureName,
  fixtureImageOptions,
  fixtureModel,
  fixtureOptions,
} from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";
import { WanTextToVideoPipeline } from "./text-to-video.ts";

const float32: LoadOptions = { dtype: "float32" };

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

function textPipeline(name: FixtureName, options = float32): Promise<WanTextToVideoPipeline> {
  return WanTextToVideoPipeline.fromPretrained(fixtureModel(name), options);
}

function imagePipeline(name: FixtureName, options = float32): Promise<WanImageToVideoPipeline> {
  return WanImageToVideoPipeline.fromPretrained(fixtureModel(name), options);
}

/** The latents' values; disposes the result. */
async function latentsOf(run: Promise<GenerateResult>): Promise<Float32Array> {
  using result = await run;
  return await result.latents.floats();
}

/** The part of each of `count` videos. */
function parts(values: Float32Array, count: number): Float32Array[] {
  const size = values.length / count;
  return Array.from({ length: count }, (_, at) => values.slice(at * size, (at + 1) * size));
}

describe("batches", () => {
  test("each video of each prompt has the bytes that it has alone", async () => {
    using pipeline = await textPipeline("wan22-text-to-video");
    const options = { ...fixtureOptions("wan22-text-to-video"), outputType: "latent" } as const;
    const prompts = ["a red ball", "a much longer prompt about a blue square"];
    const alone: Float32Array[] = [];
    for (const [at, prompt] of [prompts[0]!, prompts[0]!, prompts[1]!, prompts[1]!].entries()) {
      alone.push(await latentsOf(pipeline.generate({ ...options, prompt, generator: new Generator(at) })));
    }
    const together = await latentsOf(
      pipeline.generate({
        ...options,
        prompt: prompts,
        numVideosPerPrompt: 2,
        generator: [0, 1, 2, 3].map((seed) => new Generator(seed)),
      }),
    );
    expect(parts(together, 4)).toEqual(alone);
  });

  test.each<FixtureName>(["first-last-frame", "ti2v-image-to-video"])(
    "so has each video made from images: %s",
    async (name) => {
      using pipeline = await imagePipeline(name);
      const options = { ...(await fixtureImageOptions(name)), outputType: "latent" } as const;
      const prompts = ["left", "right"];
      const alone: Float32Array[] = [];
      for (const [at, prompt] of prompts.entries()) {
        alone.push(await latentsOf(pipeline.generate({ ...options, prompt, generator: new Generator(at) })));
      }
      const generator = prompts.map((_, at) => new Generator(at));
      const together = await latentsOf(pipeline.generate({ ...options, prompt: prompts, generator }));
      expect(parts(together, 2)).toEqual(alone);
    },
  );

  test("a negative prompt for each prompt goes with it", async () => {
    using pipeline = await textPipeline("text-to-video-euler");
    const options = { ...fixtureOptions("text-to-video-euler"), outputType: "latent" } as const;
    const pairs = [
      ["one", "dark"],
      ["two", "bright"],
    ] as const;
    const alone: Float32Array[] = [];
    for (const [prompt, negativePrompt] of pairs) {
      const generator = new Generator(3);
      alone.push(await latentsOf(pipeline.generate({ ...options, prompt, negativePrompt, generator })));
    }
    const together = await latentsOf(
      pipeline.generate({
        ...options,
        prompt: pairs.map(([prompt]) => prompt),
        negativePrompt: pairs.map(([, negative]) => negative),
        generator: [new Generator(3), new Generator(3)],
      }),
    );
    expect(parts(together, 2)).toEqual(alone);
  });

  test("a video of one frame is made from an image", async () => {
    using pipeline = await imagePipeline("wan22-image-to-video");
    const options = { ...(await fixtureImageOptions("wan22-image-to-video")), numFrames: 1 };
    using result = await pipeline.generate(options);
    expect(result.latents.shape).toEqual([1, 16, 1, 6, 4]);
    expect(result.frames.numFrames).toBe(1);
  });
});

describe("tensors in place of what makes them", () => {
  test("noise, text embeddings and image embeddings give the same video", async () => {
    using pipeline = await imagePipeline("first-last-frame");
    const options = await fixtureImageOptions("first-last-frame");
    const expected = await latentsOf(pipeline.generate({ ...options, generator: new Generator(4) }));
    const { prompt: _, negativePrompt: __, generator: ___, ...rest } = options;
    const checkpoint = await openCheckpoint(fixtureModel("first-last-frame"));
    using promptEmbeds = await pipeline.encodePrompt(options.prompt!, { maxSequenceLength: 64 });
    using negativePromptEmbeds = await pipeline.encodePrompt(options.negativePrompt!, {
      maxSequenceLength: 64,
    });
    const shape = [1, checkpoint.vae.zDim, 3, 4, 4] as const;
    using latents = Tensor.from(new Generator(4).randn(16 * 3 * 4 * 4), shape);
    using imageEmbeds = await imageStates(pipeline, options);
    const made = await latentsOf(
      pipeline.generate({ ...rest, latents, promptEmbeds, negativePromptEmbeds, imageEmbeds }),
    );
    expect(made).toEqual(expected);
  });

  test("embeddings of some prompts make as many videos", async () => {
    using pipeline = await textPipeline("text-to-video-unguided");
    const { prompt: _, ...options } = fixtureOptions("text-to-video-unguided");
    using promptEmbeds = await pipeline.encodePrompt(["a", "b", "c"], { maxSequenceLength: 64 });
    using result = await pipeline.generate({ ...options, promptEmbeds });
    expect(result.videos).toHaveLength(3);
    expect(promptEmbeds.isDisposed).toBe(false);
  });
});

/** What the image encoder makes of a call's images, taken as it comes out. */
async function imageStates(
  pipeline: WanImageToVideoPipeline,
  options: Parameters<WanImageToVideoPipeline["generate"]>[0],
): Promise<Tensor> {
  const states: Float32Array[] = [];
  const remove = pipeline.imageEncoder!.hooks.add({
    name: "states",
    after: (output) => {
      states.push(output.floatsBlocking());
    },
  });
  (await pipeline.generate({ ...options, numInferenceSteps: 1, outputType: "latent" }))[Symbol.dispose]();
  remove();
  const width = pipeline.checkpoint.transformer.imageDim!;
  const values = Float32Array.from(states.flatMap((state) => [...state]));
  return Tensor.from(values, [states.length, values.length / (states.length * width), width]);
}

describe("outputs", () => {
  test("np, pil and pt hold the same frames, and latent none", async () => {
    using pipeline = await textPipeline("text-to-video-euler");
    const run = (outputType: OutputType): Promise<GenerateResult> =>
      pipeline.generate({
        ...fixtureOptions("text-to-video-euler"),
        generator: [new Generator(1), new Generator(2)],
        numVideosPerPrompt: 2,
        outputType,
      });
    using np = await run("np");
    using pil = await run("pil");
    using pt = await run("pt");
    using latent = await run("latent");
    expect(np.videos.map(({ data }) => data.constructor.name)).toEqual(["Float32Array", "Float32Array"]);
    for (const [at, { data, numFrames, height, width }] of np.videos.entries()) {
      expect([numFrames, height, width]).toEqual([5, 48, 32]);
      const bytes = pil.videos[at]!.data;
      expect(bytes).toBeInstanceOf(Uint8Array);
      expect(data.every((value, index) => Math.abs(value * 255 - bytes[index]!) <= 0.5)).toBe(true);
      expect(pt.tensors[at]!.shape).toEqual([5, 3, 48, 32]);
      using channelsLast = pt.tensors[at]!.permute([0, 2, 3, 1]);
      expect(await channelsLast.floats()).toEqual(data as Float32Array);
    }
    expect([pt.videos.length, latent.videos.length, latent.tensors.length]).toEqual([0, 0, 0]);
    expect(await latent.latents.floats()).toEqual(await np.latents.floats());
  });

  test("latents are float32 whatever the transformer's dtype and the scheduler", async () => {
    using pipeline = await textPipeline("text-to-video-euler", { dtype: "bfloat16" });
    using result = await pipeline.generate(fixtureOptions("text-to-video-euler"));
    expect(result.latents.dtype).toBe("float32");
  });
});

describe("TI2V", () => {
  test("makes videos from text with weights that were saved for images, and the other way", async () => {
    const name = "ti2v-image-to-video";
    using text = await textPipeline(name);
    using result = await text.generate(fixtureOptions(name));
    expect(result.frames.numFrames).toBe(9);
    using image = await imagePipeline("ti2v-text-to-video");
    using other = await image.generate({ ...(await fixtureImageOptions(name)), outputType: "latent" });
    expect(other.latents.shape).toEqual([1, 48, 3, 4, 2]);
  });
});

test("inputs that a checkpoint doesn't take are refused by generate too", async () => {
  using pipeline = await textPipeline("text-to-video-euler");
  const options = { ...fixtureOptions("text-to-video-euler"), guidanceScale2: 3 };
  const error = await rejection(pipeline.generate(options));
  expect(error).toBeInstanceOf(PipelineInputError);
  expect((error as PipelineInputError).option).toBe("guidanceScale2");
});
