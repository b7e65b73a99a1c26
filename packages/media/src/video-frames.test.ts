import { describe, expect, test } from "bun:test";
import { checkFrameRate, checkFrames, frameLevels, type VideoFrames } from "./video-frames.ts";

function video(values: number[], numFrames = 1): VideoFrames {
  return { data: Float32Array.from(values), numFrames, height: 1, width: values.length / 3 / numFrames };
}

describe("frameLevels", () => {
  // 0.5 · 255 = 127.5; 0.1 · 255 = 25.5000004 in float32; 0.998 · 255 = 254.49.
  const values = [0, 1, 0.5, 0.1, 0.998, 2.5 / 255];

  test("truncates as astype(uint8)", () => {
    expect([...frameLevels("f", video(values), 0, "truncate")]).toEqual([0, 255, 127, 25, 254, 2]);
  });

  test("rounds halves to even as NumPy", () => {
    expect([...frameLevels("f", video(values), 0, "round")]).toEqual([0, 255, 128, 26, 254, 2]);
  });

  test("every level survives both ways, from the float32 nearest to level / 255", () => {
    const levels = Array.from({ length: 255 }, (_, level) => level + 1);
    const frames = video(levels.map((level) => level / 255));
    expect([...frameLevels("f", frames, 0, "round")]).toEqual(levels);
    expect([...frameLevels("f", frames, 0, "truncate")]).toEqual(levels);
  });

  test("takes the frame asked for, and copies 8-bit frames", () => {
    expect([...frameLevels("f", video([0, 0, 0, 1, 1, 1], 2), 1, "round")]).toEqual([255, 255, 255]);
    const bytes: VideoFrames = { data: Buffer.from([1, 2, 3, 4, 5, 6]), numFrames: 2, height: 1, width: 1 };
    const levels = frameLevels("f", bytes, 1, "truncate");
    levels[0] = 9;
    expect([...bytes.data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([Number.NaN, -0.001, 1.001, Number.POSITIVE_INFINITY])("refuses %p and says where", (bad) => {
    const frames: VideoFrames = { data: new Float32Array(24), numFrames: 2, height: 2, width: 2 };
    frames.data[12 + 6 + 4] = bad;
    expect(() => frameLevels("export", frames, 1, "round")).toThrow(
      `export: frames.data must be in [0, 1], but is ${Math.fround(bad)} at frame 1, row 1, column 1`,
    );
  });
});

describe("checkFrames", () => {
  test("refuses data that doesn't fit the size", () => {
    const frames: VideoFrames = { data: new Float32Array(11), numFrames: 1, height: 2, width: 2 };
    expect(() => checkFrames("export", frames)).toThrow(
      "export: frames.data must be 12 values, shape (1, 2, 2, 3), but is 11 values",
    );
  });

  test.each(["numFrames", "height", "width"] as const)("refuses %s of 0 or a fraction", (name) => {
    for (const bad of [0, 1.5, -1]) {
      const frames: VideoFrames = {
        data: new Float32Array(0),
        numFrames: 1,
        height: 1,
        width: 1,
        [name]: bad,
      };
      expect(() => checkFrames("export", frames)).toThrow(
        `frames.${name} must be a whole number from 1, but is ${bad}`,
      );
    }
  });
});

test("checkFrameRate takes fractions and refuses what is not above 0", () => {
  for (const good of [0.5, 23.976, 240]) expect(() => checkFrameRate("export", good)).not.toThrow();
  for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => checkFrameRate("export", bad)).toThrow(
      `export: fps must be a number above 0, but is ${bad}`,
    );
  }
});
