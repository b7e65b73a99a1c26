import { inflateSync } from "node:zlib";
import { CorruptImageData } from "./errors.ts";
import { type PngFile, type PngHeader, pngColorType } from "./png-chunks.ts";
import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

/** A grid of pixels that is stored as a picture of its own; section 8 of the specification. */
interface Pass {
  readonly x: number;
  readonly y: number;
  readonly columnStep: number;
  readonly rowStep: number;
}

const wholePicture: readonly Pass[] = [{ x: 0, y: 0, columnStep: 1, rowStep: 1 }];
const adam7: readonly Pass[] = [
  { x: 0, y: 0, columnStep: 8, rowStep: 8 },
  { x: 4, y: 0, columnStep: 8, rowStep: 8 },
  { x: 0, y: 4, columnStep: 4, rowStep: 8 },
  { x: 2, y: 0, columnStep: 4, rowStep: 4 },
  { x: 0, y: 2, columnStep: 2, rowStep: 4 },
  { x: 1, y: 0, columnStep: 2, rowStep: 2 },
  { x: 0, y: 1, columnStep: 1, rowStep: 2 },
];

const channelsOf = {
  [pngColorType.grey]: 1,
  [pngColorType.rgb]: 3,
  [pngColorType.palette]: 1,
  [pngColorType.greyAlpha]: 2,
  [pngColorType.rgbAlpha]: 4,
} as const;

/**
 * Decodes a PNG file's picture to RGB as PIL's `Image.open(file).convert("RGB")` does: alpha and
 * transparent colours are dropped without compositing, 16-bit colour keeps its high byte, 16-bit grey
 * without alpha is cut off at 255, and a palette index without entry is black.
 *
 * @throws {CorruptImageData} where the compressed data is damaged, or too short or too long.
 */
export function decodePngPixels(file: PngFile): RgbImage {
  const { header } = file;
  const { width, height } = header;
  const channels = channelsOf[header.colorType];
  const passes = (header.interlaced ? adam7 : wholePicture).map((pass) => {
    const columns = Math.ceil((width - pass.x) / pass.columnStep);
    const rows = Math.ceil((height - pass.y) / pass.rowStep);
    const rowBytes = Math.ceil((Math.max(columns, 0) * channels * header.bitDepth) / 8);
    return { pass, columns, rows, rowBytes };
  });
  const nonEmpty = passes.filter(({ columns, rows }) => columns > 0 && rows > 0);
  const expected = nonEmpty.reduce((sum, { rows, rowBytes }) => sum + rows * (rowBytes + 1), 0);
  const filtered = inflate(file.compressed, expected);

  const data = new Uint8Array(width * height * RGB_CHANNELS);
  const bytesPerPixel = Math.max(1, (channels * header.bitDepth) / 8);
  const writeRow = rowWriter(file, data);
  let at = 0;
  for (const { pass, columns, rows, rowBytes } of nonEmpty) {
    let previous = new Uint8Array(rowBytes);
    for (let row = 0; row < rows; row++) {
      const filter = filtered[at]!;
      const line = filtered.subarray(at + 1, at + 1 + rowBytes);
      unfilter(filter, line, previous, bytesPerPixel);
      const first = ((pass.y + row * pass.rowStep) * width + pass.x) * RGB_CHANNELS;
      writeRow(line, columns, first, pass.columnStep * RGB_CHANNELS);
      previous = line;
      at += rowBytes + 1;
    }
  }
  return { width, height, data };
}

function inflate(compressed: Uint8Array, expected: number): Uint8Array<ArrayBuffer> {
  let filtered: Uint8Array<ArrayBuffer>;
  try {
    filtered = new Uint8Array(inflateSync(compressed, { maxOutputLength: expected }));
  } catch (cause) {
    throw new CorruptImageData("its compressed picture data is damaged or cut short", { cause });
  }
  if (filtered.length !== expected) {
    throw new CorruptImageData(`it has ${filtered.length} bytes of picture data instead of ${expected}`);
  }
  return filtered;
}

/** Undoes a line's filter in place; section 9.2. */
function unfilter(filter: number, line: Uint8Array, above: Uint8Array, bytesPerPixel: number): void {
  const length = line.length;
  switch (filter) {
    case 0:
      return;
    case 1:
      for (let i = bytesPerPixel; i < length; i++) line[i] = line[i]! + line[i - bytesPerPixel]!;
      return;
    case 2:
      for (let i = 0; i < length; i++) line[i] = line[i]! + above[i]!;
      return;
    case 3:
      for (let i = 0; i < length; i++) {
        const left = i >= bytesPerPixel ? line[i - bytesPerPixel]! : 0;
        line[i] = line[i]! + ((left + above[i]!) >> 1);
      }
      return;
    case 4:
      for (let i = 0; i < length; i++) {
        const left = i >= bytesPerPixel ? line[i - bytesPerPixel]! : 0;
        const aboveLeft = i >= bytesPerPixel ? above[i - bytesPerPixel]! : 0;
        line[i] = line[i]! + paeth(left, above[i]!, aboveLeft);
      }
      return;
    default:
      throw new CorruptImageData(`a line has filter ${filter}, and there are 0 to 4`);
  }
}

/** The neighbour closest to left + above − above left; section 9.4. */
export function paeth(left: number, above: number, aboveLeft: number): number {
  const toLeft = Math.abs(above - aboveLeft);
  const toAbove = Math.abs(left - aboveLeft);
  const toAboveLeft = Math.abs(left + above - 2 * aboveLeft);
  if (toLeft <= toAbove && toLeft <= toAboveLeft) return left;
  return toAbove <= toAboveLeft ? above : aboveLeft;
}

type RowWriter = (line: Uint8Array, columns: number, first: number, step: number) => void;

/** Gives the function that writes a line's pixels as RGB at `first`, `first + step`, … of `data`. */
function rowWriter({ header, palette }: PngFile, data: Uint8Array): RowWriter {
  const wide = header.bitDepth === 16;
  switch (header.colorType) {
    case pngColorType.rgb:
    case pngColorType.rgbAlpha:
      return colorRow(data, channelsOf[header.colorType], wide ? 2 : 1);
    case pngColorType.greyAlpha:
      return greyAlphaRow(data, wide ? 2 : 1);
    case pngColorType.grey:
      return wide ? wideGreyRow(data) : indexRow(data, header.bitDepth, greyTable(header.bitDepth));
    case pngColorType.palette: {
      const table = new Uint8Array(256 * RGB_CHANNELS);
      table.set(palette?.subarray(0, table.length) ?? []);
      return indexRow(data, header.bitDepth, table);
    }
  }
}

/** RGB of each grey level, spread over 0 to 255. */
function greyTable(bitDepth: PngHeader["bitDepth"]): Uint8Array {
  const scale = 255 / (2 ** bitDepth - 1);
  const levels = Array.from({ length: 2 ** bitDepth }, (_, level) => level * scale);
  return Uint8Array.from(levels.flatMap((level) => [level, level, level]));
}

function colorRow(data: Uint8Array, channels: number, sampleBytes: number): RowWriter {
  return (line, columns, first, step) => {
    const pixelBytes = channels * sampleBytes;
    for (let column = 0, to = first; column < columns; column++, to += step) {
      const from = column * pixelBytes;
      data[to] = line[from]!;
      data[to + 1] = line[from + sampleBytes]!;
      data[to + 2] = line[from + 2 * sampleBytes]!;
    }
  };
}

function greyAlphaRow(data: Uint8Array, sampleBytes: number): RowWriter {
  return (line, columns, first, step) => {
    for (let column = 0, to = first; column < columns; column++, to += step) {
      const grey = line[column * 2 * sampleBytes]!;
      data[to] = grey;
      data[to + 1] = grey;
      data[to + 2] = grey;
    }
  };
}

function wideGreyRow(data: Uint8Array): RowWriter {
  return (line, columns, first, step) => {
    for (let column = 0, to = first; column < columns; column++, to += step) {
      const high = line[2 * column]!;
      const grey = high === 0 ? line[2 * column + 1]! : 255;
      data[to] = grey;
      data[to + 1] = grey;
      data[to + 2] = grey;
    }
  };
}

function indexRow(data: Uint8Array, bitDepth: PngHeader["bitDepth"], table: Uint8Array): RowWriter {
  const mask = 2 ** bitDepth - 1;
  return (line, columns, first, step) => {
    for (let column = 0, to = first; column < columns; column++, to += step) {
      // Leftmost pixels are in the high bits (section 7.2).
      const bit = column * bitDepth;
      const index = (line[bit >> 3]! >> (8 - bitDepth - (bit & 7))) & mask;
      data[to] = table[index * 3]!;
      data[to + 1] = table[index * 3 + 1]!;
      data[to + 2] = table[index * 3 + 2]!;
    }
  };
}
