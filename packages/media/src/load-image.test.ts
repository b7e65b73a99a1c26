import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ImageError } from "./errors.ts";
import { decodeImage, loadImage, MAX_IMAGE_FILE_BYTES } from "./load-image.ts";

const folder = join(import.meta.dir, "../fixtures/images");

interface Expected {
  readonly images: Readonly<Record<string, { width: number; height: number; rgb: string }>>;
}

const expected = (await Bun.file(join(folder, "expected.json")).json()) as Expected;

async function fixture(name: string): Promise<Uint8Array> {
  return await Bun.file(join(folder, name)).bytes();
}

async function imageError(loading: Promise<unknown>): Promise<ImageError> {
  const error: unknown = await loading.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ImageError);
  return error as ImageError;
}

function refusal(bytes: Uint8Array): Promise<ImageError> {
  return imageError(decodeImage(bytes, "picture"));
}

describe("loadImage equals PIL", () => {
  test.each(Object.keys(expected.images))("%s", async (name) => {
    const { width, height, rgb } = expected.images[name]!;
    const image = await loadImage(join(folder, name));
    expect([image.width, image.height]).toEqual([width, height]);
    expect(image.data).toEqual(new Uint8Array(Buffer.from(rgb, "base64")));
  });

  test("every fixture is compared", async () => {
    const files = (await readdir(folder)).filter((name) => !/^refused|\.json$/.test(name));
    expect(files.toSorted()).toEqual(Object.keys(expected.images).toSorted());
  });
});

describe("files that are refused", () => {
  test("a missing file", async () => {
    const path = join(folder, "none.png");
    expect(await imageError(loadImage(path))).toMatchObject({ name: "ImageError", code: "notFound", path });
  });

  test("a directory, and a path through a file", async () => {
    expect((await imageError(loadImage(folder))).code).toBe("notAFile");
    expect((await imageError(loadImage(join(folder, "photo-444.jpg", "x")))).code).toBe("notFound");
  });

  test("a file beyond the limit, without reading it", async () => {
    const temporary = await mkdtemp(join(tmpdir(), "wan-media-"));
    try {
      const path = join(temporary, "huge.png");
      await writeFile(path, "");
      await truncate(path, MAX_IMAGE_FILE_BYTES + 1);
      const error = await imageError(loadImage(path));
      expect(error.code).toBe("fileTooLarge");
      expect(error.found).toBe(`${MAX_IMAGE_FILE_BYTES + 1} bytes`);
    } finally {
      await rm(temporary, { recursive: true });
    }
  });

  test("more pixels than the limit, in a header of each format", async () => {
    const png = await fixture("rgb-8.png");
    const view = new DataView(png.buffer);
    view.setUint32(16, 20_000);
    view.setUint32(20, 20_000);
    view.setUint32(29, Bun.hash.crc32(png.subarray(12, 29)));
    const jpeg = await fixture("photo-444.jpg");
    const frame = Buffer.from(jpeg).indexOf(Buffer.from([0xff, 0xc0]));
    new DataView(jpeg.buffer).setUint32(frame + 5, (20_000 << 16) | 20_000);
    for (const bytes of [png, jpeg]) {
      const error = await refusal(bytes);
      expect(error.code).toBe("tooManyPixels");
      expect(error.found).toBe("20000 × 20000 pixels");
    }
    // A WebP's sides are at most 16383, the largest has 2.7 × 10⁸ pixels.
    const webp = await fixture("photo-lossless.webp");
    new DataView(webp.buffer).setUint32(21, 0x0fffffff, true);
    expect(await refusal(webp)).toMatchObject({ code: "tooManyPixels", found: "16384 × 16384 pixels" });
  });

  test.each([
    ["", "an empty file"],
    ["GIF89a....", "a GIF"],
    ["\n <!DOCTYPE html><html>", "an HTML page"],
    ["<svg xmlns=''>", "an SVG drawing"],
    ["BM......", "a BMP image"],
    ["\0\0\0\x1cftypavif....", "an AVIF image"],
    ["\0\0\0\x1cftypheic....", "a HEIC image"],
    ["\0\0\0\x1cftypisom....", "an MP4 video"],
    ["RIFF....AVI ", "an AVI video"],
    ["version https://git-lfs.github.com/spec/v1", "a Git LFS pointer, not the file it stands for"],
    ['{"a": 1}', "a JSON document"],
    ["just words", "a text file"],
    ["\x01\x02\x03\x04", "a file of unknown format (first bytes 01 02 03 04)"],
  ])("%j is named", async (head, found) => {
    const error = await refusal(Buffer.from(head, "latin1"));
    expect(error).toMatchObject({ code: "unsupportedFormat", found, path: "picture" });
    expect(error.message).toBe(`picture is ${found}, expected a PNG, JPEG or WebP image`);
  });

  test("an animated WebP", async () => {
    const error = await refusal(await fixture("refused-animation.webp"));
    expect(error).toMatchObject({ code: "unsupportedFormat", found: "an animated WebP image" });
  });
});

describe("damaged files", () => {
  test.each([
    "rgb-8.png",
    "grey-1-interlaced.png",
    "photo-420.jpg",
    "photo-progressive.jpg",
    "photo-lossy.webp",
  ])("%s cut anywhere is corrupt", async (name) => {
    const bytes = await fixture(name);
    // A PNG file whose end chunk (12 bytes) is missing is whole, for PIL too.
    const last = name.endsWith(".png") ? bytes.length - 13 : bytes.length - 1;
    for (const length of [16, 40, Math.floor(bytes.length / 2), last]) {
      expect((await refusal(bytes.slice(0, length))).code).toBe("corrupt");
    }
  });

  test("a PNG without its end chunk still loads", async () => {
    const bytes = await fixture("rgb-8.png");
    const whole = await decodeImage(bytes, "whole");
    expect(await decodeImage(bytes.slice(0, -12), "cut")).toEqual(whole);
  });

  test("a PNG with a wrong checksum, and one that inflates beyond its header", async () => {
    const bytes = await fixture("rgb-8.png");
    const flipped = bytes.slice();
    flipped[bytes.length - 30]! ^= 1;
    expect((await refusal(flipped)).message).toContain("checksum of its IDAT chunk");
    const low = bytes.slice();
    new DataView(low.buffer).setUint32(20, 1);
    new DataView(low.buffer).setUint32(29, Bun.hash.crc32(low.subarray(12, 29)));
    expect((await refusal(low)).message).toContain("damaged or cut short");
  });

  test.each([
    [25, 1, "colour type 1 with 8 bits"],
    [24, 3, "colour type 2 with 3 bits"],
    [28, 2, "interlace 2"],
  ])("a PNG header with byte %d set to %d", async (at, value, reason) => {
    const bytes = await fixture("rgb-8.png");
    bytes[at] = value;
    new DataView(bytes.buffer).setUint32(29, Bun.hash.crc32(bytes.subarray(12, 29)));
    expect((await refusal(bytes)).message).toContain(reason);
  });

  test("flipped bytes never do worse than an ImageError", async () => {
    for (const name of [
      "rgb-8-interlaced.png",
      "orientation-exif.jpg",
      "orientation-exif.webp",
      "orientation-8.png",
    ]) {
      const bytes = await fixture(name);
      for (let at = 0; at < Math.min(bytes.length, 400); at += 3) {
        const damaged = bytes.slice();
        damaged[at]! ^= 0xff;
        const result: unknown = await decodeImage(damaged, name).catch((caught: unknown) => caught);
        if (result instanceof Error) expect(result).toBeInstanceOf(ImageError);
      }
    }
  });
});
