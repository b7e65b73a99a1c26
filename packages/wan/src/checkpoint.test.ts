import { describe, expect, test } from "bun:test";
import { openCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./errors.ts";
import { type FixtureName, fixtureModel, ModelCopy } from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";

describe("openCheckpoint", () => {
  test("tells Wan 2.1, the experts of Wan 2.2 and TI2V apart", async () => {
    const open = (name: FixtureName): ReturnType<typeof openCheckpoint> => openCheckpoint(fixtureModel(name));
    const wan21 = await open("image-to-video");
    expect(wan21.tasks).toEqual(["imageToVideo"]);
    expect(wan21.lowNoiseExpert).toBeUndefined();
    expect(wan21.imageEncoder).toBeDefined();
    const experts = await open("wan22-image-to-video");
    expect(experts.tasks).toEqual(["imageToVideo"]);
    expect(experts.lowNoiseExpert?.boundaryRatio).toBe(0.9);
    expect(experts.imageEncoder).toBeUndefined();
    const perToken = await open("ti2v-image-to-video");
    expect(perToken.task).toBe("imageToVideo");
    expect(perToken.tasks).toEqual(["textToVideo", "imageToVideo"]);
    expect(perToken.expandTimesteps).toBe(true);
    expect(perToken.sizeMultiple).toEqual([32, 32]);
  });

  test.each<[string, FixtureName, string, Record<string, unknown>, string]>([
    [
      "a second transformer without a boundary",
      "wan22-text-to-video",
      "model_index.json",
      { boundary_ratio: null },
      "boundary_ratio, as there is a transformer_2",
    ],
    [
      "a boundary without a second transformer",
      "wan22-text-to-video",
      "model_index.json",
      { transformer_2: [null, null] },
      "transformer_2, as boundary_ratio is 0.875",
    ],
    [
      "an unknown pipeline",
      "text-to-video-unguided",
      "model_index.json",
      { _class_name: "WanVACEPipeline" },
      "_class_name WanPipeline or WanImageToVideoPipeline",
    ],
    [
      "experts of different latents",
      "wan22-text-to-video",
      "transformer_2/config.json",
      { in_channels: 36 },
      "in_channels 16, as in transformer",
    ],
    [
      "experts of different text",
      "wan22-text-to-video",
      "transformer_2/config.json",
      { text_dim: 32 },
      "text_dim 16, as in transformer",
    ],
    [
      "experts of different patches",
      "wan22-text-to-video",
      "transformer_2/config.json",
      { patch_size: [1, 1, 1] },
      "patch_size [1,2,2], as in transformer",
    ],
    [
      "positions for other image tokens than the encoder's",
      "first-last-frame",
      "transformer/config.json",
      { pos_embed_seq_len: 514 },
      "pos_embed_seq_len 34, the image encoder's tokens of two images",
    ],
    [
      "images prepared for another encoder",
      "image-to-video",
      "image_processor/preprocessor_config.json",
      { crop_size: { height: 24, width: 24 } },
      "images of 32 × 32, the image encoder's image_size",
    ],
    [
      "an image-to-video index on text-to-video weights",
      "text-to-video-unguided",
      "model_index.json",
      { _class_name: "WanImageToVideoPipeline" },
      "in_channels 36, latents, mask and condition",
    ],
    [
      "own timesteps for tokens, on weights that have mask and condition",
      "wan22-image-to-video",
      "model_index.json",
      { expand_timesteps: true },
      "in_channels 16, the VAE's z_dim",
    ],
    [
      "a VAE of other latents",
      "ti2v-text-to-video",
      "transformer/config.json",
      { out_channels: 16 },
      "out_channels 48, the VAE's z_dim",
    ],
  ])("refuses %s", async (_, name, file, changes, expected) => {
    await using copy = await ModelCopy.of(name);
    await copy.change(file, changes);
    const error = await rejection(openCheckpoint(copy.path));
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as CheckpointError).expected).toBe(expected);
    expect((error as CheckpointError).message).toContain(copy.path);
  });
});
