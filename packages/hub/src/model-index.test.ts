import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HubError } from "./errors.ts";
import { modelIndex } from "./model-fixture.ts";
import { parseModelIndex } from "./model-index.ts";

const path = "model/model_index.json";

describe("parseModelIndex", () => {
  test("reads the parts of Wan 2.1, leaving out what is [null, null]", () => {
    const index = parseModelIndex(modelIndex, path);
    expect(index.className).toBe("WanImageToVideoPipeline");
    expect([...index.components.keys()].toSorted()).toEqual([
      "imageEncoder",
      "imageProcessor",
      "scheduler",
      "textEncoder",
      "tokenizer",
      "transformer",
      "vae",
    ]);
    expect(index.components.get("vae")).toEqual({ library: "diffusers", className: "AutoencoderKLWan" });
    expect(index).toMatchObject({ boundaryRatio: null, expandTimesteps: false });
  });

  test("reads Wan 2.2's two transformers, boundary and timesteps", () => {
    const json = {
      ...modelIndex,
      transformer_2: modelIndex.transformer,
      boundary_ratio: 0.875,
      expand_timesteps: true,
    };
    const index = parseModelIndex(json, path);
    expect(index.components.get("transformer2")?.className).toBe("WanTransformer3DModel");
    expect(index).toMatchObject({ boundaryRatio: 0.875, expandTimesteps: true });
  });

  test("leaves out other settings and absent parts that Wan hasn't", () => {
    const json = { ...modelIndex, requires_safety_checker: true, feature_extractor: [null, null] };
    expect(parseModelIndex(json, path)).toEqual(parseModelIndex(modelIndex, path));
  });

  test.each([
    ["_class_name", 3, "the name of a pipeline class", "3"],
    ["boundary_ratio", 1.5, "null or a number from 0 to 1", "1.5"],
    ["boundary_ratio", "0.9", "null or a number from 0 to 1", '"0.9"'],
    ["expand_timesteps", null, "true or false", "null"],
    ["vae", "AutoencoderKLWan", "[library, class] or [null, null]", '"AutoencoderKLWan"'],
    ["vae", ["diffusers", null], "[library, class] or [null, null]", '["diffusers",null]'],
    ["vae", ["diffusers"], "[library, class] or [null, null]", '["diffusers"]'],
    ["vae", ["diffusers", "AutoencoderKL"], "AutoencoderKLWan", "AutoencoderKL"],
    [
      "transformer",
      ["diffusers", "WanVACETransformer3DModel"],
      "WanTransformer3DModel",
      "WanVACETransformer3DModel",
    ],
    [
      "audio_encoder",
      ["transformers", "Wav2Vec2Model"],
      "a part of a Wan pipeline (tokenizer, text_encoder, image_processor, image_encoder, transformer, " +
        "transformer_2, vae, scheduler)",
      '["transformers","Wav2Vec2Model"]',
    ],
  ])("refuses %s %p", (key, value, expected, found) => {
    expect(() => parseModelIndex({ ...modelIndex, [key]: value }, path)).toThrow(
      new HubError({ code: "modelIndex", path, problems: [{ subject: key, expected, found }] }),
    );
  });

  test("tells all problems together", () => {
    try {
      parseModelIndex({ ...modelIndex, vae: 1, text_encoder: 2 }, path);
    } catch (error) {
      if (!HubError.isInstance(error)) throw error;
      expect(error.problems.map(({ subject }) => subject).toSorted()).toEqual(["text_encoder", "vae"]);
      return;
    }
    throw new Error("the index was taken");
  });

  test("answers any JSON with an index or a HubError", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...Object.keys(modelIndex)), fc.jsonValue())),
        (json) => {
          try {
            parseModelIndex(json, path);
          } catch (error) {
            if (!HubError.isInstance(error)) throw error;
            expect(error.code).toBe("modelIndex");
          }
        },
      ),
    );
  });
});
