import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeImage } from "./load-image.ts";
import { encodePng } from "./png-encode.ts";
import type { RgbImage } from "./rgb-image.ts";

const side = fc.integer({ min: 1, max: 24 });
const anyImage: fc.Arbitrary<RgbImage> = fc
  .tuple(side, side)
  .chain(([width, height]) =>
    fc
      .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
      .map((data) => ({ width, height, data })),
  );

function ramp(width: number, height: number): RgbImage {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return (x * (1 + (i % 3)) + 2 * y) % 256;
  });
  return { width, height, data };
}

test("what is encoded decodes to the same pixels", async () => {
  await fc.assert(
    fc.asyncProperty(anyImage, async (image) => {
      expect(await decodeImage(await encodePng(image), "encoded")).toEqual(image);
    }),
  );
});

test("another decoder reads the same pixels", async () => {
  const image = ramp(61, 47);
  // Through Bun's PNG decoder and its lossless WebP encoder.
  const webp = await new Bun.Image(await encodePng(image)).webp({ lossless: true }).bytes();
  expect(await decodeImage(webp, "through webp")).toEqual(image);
});

test("a smooth picture is filtered small, and the same picture gives the same bytes", async () => {
  const image = ramp(256, 256);
  const encoded = await encodePng(image);
  expect(encoded.length).toBeLessThan(image.data.length / 50);
  expect(await encodePng(image)).toEqual(encoded);
});
