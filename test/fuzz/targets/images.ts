import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { decodeImage, ImageError, MAX_IMAGE_PIXELS } from "@wan-ts/media";
import { accepted, BrokenPromise, type FuzzInput, type FuzzTarget, refusalOf } from "../fuzz-target.ts";
import { mutateBytes, overwriteInteger, writeInteger } from "../mutate-bytes.ts";
import type { FuzzRandom } from "../random.ts";

const folderOfSeeds = join(import.meta.dir, "../../../packages/media/fixtures/images");

/** Widths and heights that are written into headers, the largest beyond what is decoded. */
const sides = [0, 1, 2, 255, 1000, 4000, 16_383, 20_000, 65_535, 100_000, 2 ** 31 - 1, 2 ** 32 - 1];

const pngSignatureBytes = 8;
const pngOverhead = 12;

/**
 * PNG, JPEG and WebP files, damaged in headers and bodies: an ImageError, or a picture of as many bytes as
 * it has pixels, within the limits. Memory stays bounded whatever a header claims.
 */
export const imagesTarget: FuzzTarget = {
  name: "images",
  // Twice what the largest picture takes as RGB with alpha and again as RGB, and the process itself.
  maxResidentBytes: 2 * MAX_IMAGE_PIXELS * 7 + 2 ** 30,
  async open() {
    const names = (await readdir(folderOfSeeds)).filter((name) => !name.endsWith(".json")).toSorted();
    const seeds = await Promise.all(
      names.map(async (name) => ({ name, bytes: await Bun.file(join(folderOfSeeds, name)).bytes() })),
    );
    const contents = seeds.map(({ bytes }) => bytes);
    return {
      input(random) {
        // Formats as often as each other: there are far more PNGs.
        const format = random.pick([".png", ".jpg", ".webp"]);
        const { name, bytes } = random.pick(seeds.filter((seed) => seed.name.endsWith(format)));
        return { place: name, bytes: mutated(format, bytes, contents, random) };
      },
      async run({ bytes }: FuzzInput) {
        try {
          const { width, height, data } = await decodeImage(bytes, "image");
          if (width * height > MAX_IMAGE_PIXELS || width < 1 || data.length !== width * height * 3) {
            throw new BrokenPromise(`${width} × ${height} pixels in ${data.length} bytes`);
          }
          return accepted;
        } catch (error) {
          return refusalOf(error, [ImageError]);
        }
      },
    };
  },
};

function mutated(
  format: string,
  bytes: Uint8Array,
  others: readonly Uint8Array[],
  random: FuzzRandom,
): Uint8Array {
  if (format === ".png" && !random.oneIn(4)) return mutatedPng(bytes, others, random);
  const copy = bytes.slice();
  if (random.oneIn(3)) {
    if (format === ".jpg") return withJpegSize(copy, random);
    return overwriteInteger(copy.subarray(0, 64), random).length > 0 ? copy : bytes;
  }
  return mutateBytes(copy, random, others);
}

/** A PNG with a fault in one chunk's data, whose checksum is right all the same. */
function mutatedPng(bytes: Uint8Array, others: readonly Uint8Array[], random: FuzzRandom): Uint8Array {
  const chunks: { type: Uint8Array; data: Uint8Array }[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = pngSignatureBytes; at + pngOverhead <= bytes.length; ) {
    const length = view.getUint32(at);
    chunks.push({ type: bytes.slice(at + 4, at + 8), data: bytes.slice(at + 8, at + 8 + length) });
    at += length + pngOverhead;
  }
  const index = random.below(chunks.length);
  const chunk = chunks[index] as (typeof chunks)[number];
  if (index === 0 && random.oneIn(2)) {
    writeInteger(chunk.data, random.pick([0, 4]), 4, BigInt(random.pick(sides)), false);
  } else if (random.oneIn(6)) {
    chunks.splice(random.below(chunks.length), 0, chunk);
  } else {
    chunk.data = mutateBytes(chunk.data, random, others);
  }
  const parts = chunks.flatMap(({ type, data }) => [
    integer(data.length),
    type,
    data,
    integer(crc32(Buffer.concat([type, data]))),
  ]);
  return new Uint8Array(Buffer.concat([bytes.subarray(0, pngSignatureBytes), ...parts]));
}

function integer(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeInteger(bytes, 0, 4, BigInt(value), false);
  return bytes;
}

/** A JPEG whose frame header (T.81, B.2.2) says another size. */
function withJpegSize(bytes: Uint8Array, random: FuzzRandom): Uint8Array {
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff; ) {
    const code = bytes[at + 1] as number;
    if (code === 0xc0 || code === 0xc1 || code === 0xc2) {
      writeInteger(bytes, at + 5 + random.pick([0, 2]), 2, BigInt(random.pick(sides)), false);
      break;
    }
    at += 2 + (bytes[at + 2] as number) * 256 + (bytes[at + 3] as number);
  }
  return bytes;
}
