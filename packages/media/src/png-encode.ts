import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";
import { paeth } from "./png-pixels.ts";
import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const COMPRESSION_LEVEL = 6;
const compress = promisify(deflate);

/** Predictors of PNG filters 0 to 4; section 9.2 of the specification (third edition). */
const predictors: readonly ((left: number, above: number, aboveLeft: number) => number)[] = [
  () => 0,
  (left) => left,
  (_left, above) => above,
  (left, above) => (left + above) >> 1,
  paeth,
];

/**
 * Encodes an image as PNG of 8-bit RGB, without loss. Of the five filters each line gets the one whose
 * values are the smallest in sum (section 12.7 of the specification). The same image gives the same
 * bytes.
 */
export async function encodePng({ width, height, data }: RgbImage): Promise<Uint8Array<ArrayBuffer>> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  // 8 bits, RGB, and the only compression and filter methods there are; not interlaced.
  header.set([8, 2, 0, 0, 0], 8);
  const compressed = await compress(filterLines(data, width * RGB_CHANNELS, height), {
    level: COMPRESSION_LEVEL,
  });
  const parts = [
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", compressed),
    chunk("IEND", new Uint8Array(0)),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

function filterLines(data: Uint8Array, rowBytes: number, height: number): Uint8Array {
  const filtered = new Uint8Array((rowBytes + 1) * height);
  const candidate = new Uint8Array(rowBytes);
  let above = new Uint8Array(rowBytes);
  for (let row = 0; row < height; row++) {
    const line = new Uint8Array(data.subarray(row * rowBytes, (row + 1) * rowBytes));
    const at = row * (rowBytes + 1);
    let best = Number.POSITIVE_INFINITY;
    for (const [filter, predict] of predictors.entries()) {
      const sum = filterLine(line, above, predict, candidate);
      if (sum >= best) continue;
      best = sum;
      filtered[at] = filter;
      filtered.set(candidate, at + 1);
    }
    above = line;
  }
  return filtered;
}

/** Filters a line into `filtered`; gives the sum of the values' distances from 0, modulo 256. */
function filterLine(
  line: Uint8Array,
  above: Uint8Array,
  predict: (left: number, above: number, aboveLeft: number) => number,
  filtered: Uint8Array,
): number {
  let sum = 0;
  for (let i = 0; i < line.length; i++) {
    const left = i < RGB_CHANNELS ? 0 : line[i - RGB_CHANNELS]!;
    const aboveLeft = i < RGB_CHANNELS ? 0 : above[i - RGB_CHANNELS]!;
    const value = (line[i]! - predict(left, above[i]!, aboveLeft)) & 0xff;
    filtered[i] = value;
    sum += value < 128 ? value : 256 - value;
  }
  return sum;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(Buffer.from(type, "latin1"), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}
