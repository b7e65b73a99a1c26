import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import type { ResampleName } from "./resample-filters.ts";
import { resampleNames } from "./resample-filters.ts";
import { resize } from "./resize.ts";
import type { RgbImage } from "./rgb-image.ts";

interface Fixture {
  readonly source: { width: number; height: number; rgb: string };
  readonly cases: readonly {
    filter: ResampleName;
    width: number;
    height: number;
    first: number[];
    sha256: string;
  }[];
}

const fixture = (await Bun.file(join(import.meta.dir, "../fixtures/resize.json")).json()) as Fixture;
const source: RgbImage = { ...fixture.source, data: Buffer.from(fixture.source.rgb, "base64") };

describe("resize equals PIL to the byte", () => {
  test.each(fixture.cases)("$filter to $width × $height", ({ filter, width, height, first, sha256 }) => {
    const resized = resize(source, width, height, filter);
    expect([resized.width, resized.height]).toEqual([width, height]);
    expect([...resized.data.subarray(0, first.length)]).toEqual(first);
    expect(new Bun.CryptoHasher("sha256").update(resized.data).digest("hex")).toBe(sha256);
  });
});

const side = fc.integer({ min: 1, max: 40 });

test("a flat colour stays what it is, with every filter and size", () => {
  const byte = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(
      side,
      side,
      side,
      side,
      fc.tuple(byte, byte, byte),
      fc.constantFrom(...resampleNames),
      (...args) => {
        const [width, height, newWidth, newHeight, color, filter] = args;
        const flat = (pixels: number) => Uint8Array.from({ length: pixels * 3 }, (_, i) => color[i % 3]!);
        const resized = resize({ width, height, data: flat(width * height) }, newWidth, newHeight, filter);
        expect(resized).toEqual({ width: newWidth, height: newHeight, data: flat(newWidth * newHeight) });
      },
    ),
  );
});

test("the same size gives a copy, never the caller's bytes", () => {
  for (const filter of resampleNames) {
    const same = resize(source, source.width, source.height, filter);
    expect(same.data).toEqual(new Uint8Array(source.data));
    expect(same.data.buffer === source.data.buffer).toBe(false);
  }
});

describe("refuses", () => {
  test.each([0, -1, 1.5, Number.NaN, 65_536])("a side of %p", (bad) => {
    expect(() => resize(source, bad, 8, "lanczos")).toThrow(
      /^resize: width must be a whole number from 1 to 65535/,
    );
    expect(() => resize(source, 8, bad, "lanczos")).toThrow(/^resize: height must be/);
  });

  test("an unknown filter, by name", () => {
    expect(() => resize(source, 8, 8, "lancos" as ResampleName)).toThrow(
      /filter must be one of .*, but is lancos$/,
    );
  });

  test("data that doesn't fit the size, and an empty image", () => {
    const short: RgbImage = { width: 3, height: 2, data: new Uint8Array(17) };
    expect(() => resize(short, 2, 2, "box")).toThrow(/image.data must be .* but is 17 bytes with 2 × 3$/);
    expect(() => resize({ width: 0, height: 0, data: new Uint8Array(0) }, 2, 2, "box")).toThrow(
      /at least one pixel/,
    );
  });
});
