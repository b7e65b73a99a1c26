import { describe, expect, test } from "bun:test";
import { Tensor } from "@wan-ts/tensor";
import { checkGenerateOptions } from "./check-generate-options.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { CheckpointError, PipelineInputError } from "./errors.ts";
import { checkInputs, chooseTask, type OptionalInputs, takesLastImage } from "./inputs.ts";
import {
  type FixtureName,
  fixtureImageOptions,
  fixtureModel,
  fixtureOptions,
} from "./testing/fixture-model.ts";

const image = { width: 1, height: 1, data: new Uint8Array(3) };

/** The option that is refused, or undefined where all are taken. */
async function refused(name: FixtureName, given: OptionalInputs): Promise<string | undefined> {
  const checkpoint = await openCheckpoint(fixtureModel(name));
  try {
    checkInputs(checkpoint, chooseTask(checkpoint, given), given);
    return undefined;
  } catch (error) {
    if (PipelineInputError.isInstance(error)) return error.option;
    throw error;
  }
}

const cases: readonly (readonly [FixtureName, OptionalInputs, string | undefined])[] = [
  ["text-to-video-euler", {}, undefined],
  ["text-to-video-euler", { image }, "image"],
  ["text-to-video-euler", { lastImage: image }, "lastImage"],
  ["text-to-video-euler", { guidanceScale2: 3 }, "guidanceScale2"],
  ["wan22-text-to-video", { guidanceScale2: 3 }, undefined],
  ["wan22-text-to-video", { image }, "image"],
  ["image-to-video", { image }, undefined],
  ["image-to-video", {}, "image"],
  ["image-to-video", { image, imageEmbeds: image }, undefined],
  ["image-to-video", { image, lastImage: image }, "lastImage"],
  ["image-to-video", { image, guidanceScale2: 3 }, "guidanceScale2"],
  ["first-last-frame", { image, lastImage: image }, undefined],
  ["first-last-frame", { image }, "lastImage"],
  ["wan22-image-to-video", { image }, undefined],
  ["wan22-image-to-video", { image, lastImage: image, guidanceScale2: 1 }, undefined],
  ["wan22-image-to-video", { image, imageEmbeds: image }, "imageEmbeds"],
  ["ti2v-image-to-video", {}, undefined],
  ["ti2v-image-to-video", { image }, undefined],
  ["ti2v-text-to-video", { image }, undefined],
  ["ti2v-text-to-video", { lastImage: image }, "lastImage"],
  ["ti2v-text-to-video", { image, lastImage: image }, "lastImage"],
  ["ti2v-text-to-video", { image, imageEmbeds: image }, "imageEmbeds"],
];

test.each(cases)("%s with %j refuses %p", async (name, given, option) => {
  expect(await refused(name, given)).toBe(option);
});

test("a refusal says in one line which checkpoint it is, and why", async () => {
  const checkpoint = await openCheckpoint(fixtureModel("first-last-frame"));
  expect(() => checkInputs(checkpoint, "imageToVideo", { image })).toThrow(
    `lastImage must be given, as ${checkpoint.path} makes videos from a first and a last frame, but is missing`,
  );
});

test("a task that a checkpoint isn't for is refused", async () => {
  const checkpoint = await openCheckpoint(fixtureModel("wan22-text-to-video"));
  expect(() => checkInputs(checkpoint, "imageToVideo", { image })).toThrow(CheckpointError);
});

test("an image decides what TI2V makes, and nothing else changes its task", async () => {
  const both = await openCheckpoint(fixtureModel("ti2v-image-to-video"));
  expect(chooseTask(both, { image })).toBe("imageToVideo");
  expect(chooseTask(both, {})).toBe("textToVideo");
  const one = await openCheckpoint(fixtureModel("image-to-video"));
  expect(chooseTask(one, {})).toBe("imageToVideo");
});

test("a last frame is needed, taken or refused", async () => {
  const takes = async (name: FixtureName, task: "imageToVideo" | "textToVideo"): Promise<string> =>
    takesLastImage(await openCheckpoint(fixtureModel(name)), task);
  expect(await takes("first-last-frame", "imageToVideo")).toBe("always");
  expect(await takes("wan22-image-to-video", "imageToVideo")).toBe("optionally");
  expect(await takes("image-to-video", "imageToVideo")).toBe("never");
  expect(await takes("ti2v-image-to-video", "imageToVideo")).toBe("never");
  expect(await takes("wan22-text-to-video", "textToVideo")).toBe("never");
});

describe("checkGenerateOptions", () => {
  test("fills in the second guidance scale from the first", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("wan22-text-to-video"));
    const options = fixtureOptions("wan22-text-to-video");
    expect(checkGenerateOptions(checkpoint, options).guidanceScale2).toBe(4);
    expect(checkGenerateOptions(checkpoint, { ...options, guidanceScale2: 2 }).guidanceScale2).toBe(2);
  });

  test("holds sizes to the checkpoint's own multiple", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("ti2v-text-to-video"));
    const options = { ...fixtureOptions("ti2v-text-to-video"), height: 48 };
    expect(() => checkGenerateOptions(checkpoint, options)).toThrow(
      "height must be a multiple of 32, such as 32 or 64, but is 48",
    );
  });

  test("refuses a last frame in a video of one", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("first-last-frame"));
    const options = { ...(await fixtureImageOptions("first-last-frame")), numFrames: 1 };
    expect(() => checkGenerateOptions(checkpoint, options)).toThrow(
      "numFrames must be at least 2 with a last frame, but is 1",
    );
  });

  test("takes the image tokens of as many images as there are", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("first-last-frame"));
    const options = await fixtureImageOptions("first-last-frame");
    using two = Tensor.zeros([2, 17, 16]);
    using one = Tensor.zeros([1, 17, 16]);
    using longer = Tensor.zeros([2, 18, 16]);
    expect(checkGenerateOptions(checkpoint, { ...options, imageEmbeds: two }).batch).toBe(1);
    for (const imageEmbeds of [one, longer]) {
      expect(() => checkGenerateOptions(checkpoint, { ...options, imageEmbeds })).toThrow(
        `imageEmbeds must be of shape [2, 17, 16], but is [${imageEmbeds.shape.join(", ")}]`,
      );
    }
  });

  test("takes embeddings of any number of text tokens, not of another width", async () => {
    const checkpoint = await openCheckpoint(fixtureModel("text-to-video-unguided"));
    const { prompt: _, ...options } = fixtureOptions("text-to-video-unguided");
    using short = Tensor.zeros([3, 7, 16]);
    using narrow = Tensor.zeros([3, 7, 8]);
    expect(checkGenerateOptions(checkpoint, { ...options, promptEmbeds: short }).prompts).toBe(3);
    expect(() => checkGenerateOptions(checkpoint, { ...options, promptEmbeds: narrow })).toThrow(
      "promptEmbeds must be of shape [3, tokens, 16], but is [3, 7, 8]",
    );
  });
});
