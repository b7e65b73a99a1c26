import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { parseClipPreprocessorConfig } from "./clip-config.ts";
import { clipPreprocess } from "./clip-preprocess.ts";
import { fitSize, type Size } from "./fit-size.ts";
import { preprocessForVideo } from "./preprocess-for-video.ts";
import type { RgbImage } from "./rgb-image.ts";
import { roundHalfEven } from "./rounding.ts";

interface StoredImage extends Size {
  readonly rgb: string;
}

interface Fixture {
  readonly clip: readonly { source: StoredImage; config: unknown; shape: number[]; values: string }[];
  readonly video: readonly { source: StoredImage; width: number; height: number; values: string }[];
  readonly fit: readonly { image: Size; maxArea: number; multiple: number; fitted: Size }[];
}

const fixture = (await Bun.file(join(import.meta.dir, "../fixtures/preprocess.json")).json()) as Fixture;

function imageOf({ width, height, rgb }: StoredImage): RgbImage {
  return { width, height, data: new Uint8Array(Buffer.from(rgb, "base64")) };
}

function floats(base64: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(base64, "base64")).buffer);
}

describe("preprocessForVideo equals diffusers to the bit", () => {
  test.each(fixture.video)(
    "$source.width × $source.height to $width × $height",
    ({ source, width, height, values }) => {
      expect(preprocessForVideo(imageOf(source), height, width)).toEqual(
        floats(values) as Float32Array<ArrayBuffer>,
      );
    },
  );

  test("black is −1, white is 1, in planes", () => {
    const image = { width: 2, height: 1, data: Uint8Array.of(0, 255, 255, 255, 0, 255) };
    expect([...preprocessForVideo(image, 1, 2)]).toEqual([-1, 1, 1, -1, 1, 1]);
  });
});

describe("clipPreprocess equals CLIPImageProcessorPil to the bit", () => {
  test.each(fixture.clip.map((stored, index) => ({ ...stored, index })))("case $index", (stored) => {
    const { data, height, width } = clipPreprocess(
      imageOf(stored.source),
      parseClipPreprocessorConfig(stored.config),
    );
    expect([3, height, width]).toEqual(stored.shape);
    expect(data).toEqual(floats(stored.values) as Float32Array<ArrayBuffer>);
  });

  test("data that doesn't fit the size is refused, by the name of the caller", () => {
    const config = parseClipPreprocessorConfig({});
    expect(() => clipPreprocess({ width: 2, height: 2, data: new Uint8Array(3) }, config)).toThrow(
      /^clipPreprocess: /,
    );
  });
});

describe("parseClipPreprocessorConfig", () => {
  test("absent keys have transformers' defaults", () => {
    expect(parseClipPreprocessorConfig({})).toEqual({
      resize: { size: { shortestEdge: 224 }, filter: "bicubic" },
      centerCrop: { height: 224, width: 224 },
      rescaleFactor: 1 / 255,
      normalize: {
        mean: [0.48145466, 0.4578275, 0.40821073],
        standardDeviation: [0.26862954, 0.26130258, 0.27577711],
      },
    });
  });

  test("a bare number is a shortest edge, and a square crop", () => {
    const { resize, centerCrop } = parseClipPreprocessorConfig({ size: 32, crop_size: 30 });
    expect(resize?.size).toEqual({ shortestEdge: 32 });
    expect(centerCrop).toEqual({ height: 30, width: 30 });
  });

  test("what is switched off is null", () => {
    const off = { do_resize: false, do_center_crop: false, do_rescale: false, do_normalize: false };
    expect(parseClipPreprocessorConfig(off)).toEqual({
      resize: null,
      centerCrop: null,
      rescaleFactor: null,
      normalize: null,
    });
  });

  test.each([
    ["not an object", 3],
    ["an unknown key", { do_resise: true }],
    ["a size of 0", { size: { shortest_edge: 0 } }],
    ["a huge size", { size: { shortest_edge: 1e6 } }],
    ["a size with a longest edge", { size: { shortest_edge: 224, longest_edge: 448 } }],
    ["a fractional crop", { crop_size: { height: 2.5, width: 2 } }],
    ["an unknown filter", { resample: 6 }],
    ["two means", { image_mean: [0, 0] }],
    ["a deviation of 0", { image_std: [1, 0, 1] }],
    ["a factor of 0", { rescale_factor: 0 }],
    ["padding", { do_pad: true }],
    ["another processor", { image_processor_type: "ViTImageProcessor" }],
  ])("%s is refused", (_name, json) => {
    expect(() => parseClipPreprocessorConfig(json)).toThrow(/^preprocessor_config\.json: /);
  });

  test("a size of no known form is told the forms there are", () => {
    expect(() => parseClipPreprocessorConfig({ size: "large" })).toThrow(
      /: size: must be {"shortest_edge": n}, /,
    );
    expect(() => parseClipPreprocessorConfig({ do_pad: true })).toThrow(/: do_pad: must be null or false/);
  });

  test("every problem is told at once, by key", () => {
    const json = { resample: 9, image_std: [1, -1, 1], crop_size: { height: 0, width: 1 } };
    expect(() => parseClipPreprocessorConfig(json)).toThrow(
      expect.objectContaining({
        code: "preprocessorConfig",
        problems: [
          expect.stringContaining("resample: "),
          expect.stringContaining("crop_size.height: "),
          expect.stringContaining("image_std.1: "),
        ],
      }),
    );
  });
});

describe("fitSize", () => {
  test.each(fixture.fit)(
    "$image.width × $image.height in $maxArea by $multiple",
    ({ image, maxArea, multiple, fitted }) => {
      expect(fitSize(image, maxArea, multiple)).toEqual(fitted);
    },
  );

  test("gives multiples, and never much more than the area", () => {
    const side = fc.integer({ min: 40, max: 5000 });
    fc.assert(
      fc.property(side, side, (width, height) => {
        const fitted = fitSize({ width, height }, 480 * 832, 16);
        expect([fitted.width % 16, fitted.height % 16]).toEqual([0, 0]);
        // Each side is rounded up by half a pixel at most.
        expect(fitted.width * fitted.height).toBeLessThanOrEqual(
          480 * 832 + (fitted.width + fitted.height) / 2 + 1,
        );
      }),
    );
  });

  test("an image that would have a side of 0 is refused with its size", () => {
    expect(() => fitSize({ width: 20_000, height: 4 }, 480 * 832, 16)).toThrow(/but is 20000 × 4$/);
    expect(() => fitSize({ width: 0, height: 4 }, 480 * 832, 16)).toThrow(
      /width must be a number above 0, but is 0$/,
    );
  });
});

test("roundHalfEven is Python's round", () => {
  const cases: [number, number][] = [
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [2.4999, 2],
    [2.5001, 3],
    [7, 7],
  ];
  for (const [value, rounded] of cases) expect(roundHalfEven(value) + 0).toBe(rounded);
});
