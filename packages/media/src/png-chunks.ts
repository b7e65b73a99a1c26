import { crc32, inflateSync } from "node:zlib";
import { CorruptImageData } from "./errors.ts";
import type { OrientationMetadata } from "./orientation.ts";

/** Colour types of the PNG specification (third edition), table 8. */
export const pngColorType = { grey: 0, rgb: 2, palette: 3, greyAlpha: 4, rgbAlpha: 6 } as const;

/** One of {@link pngColorType}. */
export type PngColorType = (typeof pngColorType)[keyof typeof pngColorType];

/** The IHDR chunk, checked; section 11.2.1. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly bitDepth: 1 | 2 | 4 | 8 | 16;
  readonly colorType: PngColorType;
  readonly interlaced: boolean;
}

/** What this package needs of a PNG file. */
export interface PngFile {
  readonly header: PngHeader;
  /** RGB triples of the PLTE chunk, or null. */
  readonly palette: Uint8Array | null;
  /** The IDAT chunks' data, put together: one zlib stream. */
  readonly compressed: Uint8Array;
  readonly metadata: OrientationMetadata;
}

const SIGNATURE_BYTES = 8;
const HEADER_BYTES = 13;
/** Length, type and check of a chunk. */
const CHUNK_OVERHEAD = 12;
/** Widths and heights above are forbidden (section 11.2.1). */
const MAX_SIDE = 2 ** 31 - 1;
/** More than any real metadata; a compressed text that becomes larger is left unread. */
const MAX_METADATA_BYTES = 2 ** 20;

const allowedDepths: ReadonlyMap<number, readonly number[]> = new Map([
  [pngColorType.grey, [1, 2, 4, 8, 16]],
  [pngColorType.rgb, [8, 16]],
  [pngColorType.palette, [1, 2, 4, 8]],
  [pngColorType.greyAlpha, [8, 16]],
  [pngColorType.rgbAlpha, [8, 16]],
]);

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/**
 * Reads the header of a PNG file, for limits to be checked before anything else.
 *
 * @throws {CorruptImageData} where the file doesn't begin with a right IHDR chunk.
 */
export function readPngHeader(bytes: Uint8Array): PngHeader {
  const first = chunks(bytes).next();
  if (first.done === true || first.value.type !== "IHDR" || first.value.data.length !== HEADER_BYTES) {
    throw new CorruptImageData("the file doesn't begin with an IHDR chunk of 13 bytes");
  }
  const { data } = first.value;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [bitDepth, colorType, compression, filter, interlace] = data.subarray(8);
  if (width === 0 || height === 0 || width > MAX_SIDE || height > MAX_SIDE) {
    throw new CorruptImageData(`its header says a size of ${width} × ${height}`);
  }
  if (allowedDepths.get(colorType!)?.includes(bitDepth!) !== true) {
    throw new CorruptImageData(`its header says colour type ${colorType} with ${bitDepth} bits`);
  }
  if (compression !== 0 || filter !== 0 || interlace! > 1) {
    throw new CorruptImageData(
      `its header says compression ${compression}, filter ${filter} and interlace ${interlace}`,
    );
  }
  return {
    width,
    height,
    // The two casts are what the table of allowed depths has just checked.
    bitDepth: bitDepth as PngHeader["bitDepth"],
    colorType: colorType as PngColorType,
    interlaced: interlace === 1,
  };
}

/**
 * Takes a PNG file apart. Chunks other than IHDR, PLTE, IDAT and the metadata with an orientation are
 * skipped; a file that ends without IEND is taken as far as it goes, as PIL does.
 *
 * @throws {CorruptImageData} for wrong checksums, a chunk cut short, or missing picture data.
 */
export function readPngFile(bytes: Uint8Array): PngFile {
  const header = readPngHeader(bytes);
  let palette: Uint8Array | null = null;
  let exif: Uint8Array | null = null;
  let textExif: Uint8Array | null = null;
  let xmp: string | null = null;
  const parts: Uint8Array[] = [];
  for (const { type, data } of chunks(bytes)) {
    if (type === "PLTE") palette = data;
    else if (type === "IDAT") parts.push(data);
    else if (type === "eXIf") exif ??= data;
    else if (type === "tEXt" || type === "zTXt") textExif ??= rawProfileExif(type, data);
    else if (type === "iTXt") xmp ??= xmpText(data);
    else if (type === "IEND") break;
  }
  if (palette !== null && palette.length % 3 !== 0) {
    throw new CorruptImageData(`its palette has ${palette.length} bytes, no multiple of 3`);
  }
  if (header.colorType === pngColorType.palette && palette === null) {
    throw new CorruptImageData("it has palette indices but no palette");
  }
  if (parts.length === 0) throw new CorruptImageData("it has no picture data");
  const compressed = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  return { header, palette, compressed, metadata: { exif: exif ?? textExif, xmp } };
}

/** The chunks of a file in order; section 5.3. Critical chunks' checksums are checked. */
function* chunks(bytes: Uint8Array): Generator<Chunk, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = SIGNATURE_BYTES;
  while (at + CHUNK_OVERHEAD <= bytes.length) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (length > bytes.length - at - CHUNK_OVERHEAD) {
      throw new CorruptImageData(`the file ends within its ${type} chunk`);
    }
    const data = bytes.subarray(at + 8, at + 8 + length);
    // An upper-case first letter marks a chunk that can't be done without (section 5.4).
    const critical = (bytes[at + 4]! & 0x20) === 0;
    if (critical && crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new CorruptImageData(`the checksum of its ${type} chunk is wrong`);
    }
    yield { type, data };
    at += length + CHUNK_OVERHEAD;
  }
}

/**
 * EXIF as ImageMagick wrote it before the eXIf chunk existed: a text whose keyword is "Raw profile
 * type exif", with a name and a length on lines of their own, then hexadecimal digits.
 */
function rawProfileExif(type: "tEXt" | "zTXt", data: Uint8Array): Uint8Array | null {
  const [keyword, rest] = splitAtNul(data);
  if (keyword !== "Raw profile type exif") return null;
  const text = type === "tEXt" ? rest : inflateMetadata(rest.subarray(1));
  if (text === null) return null;
  const digits = Buffer.from(text).toString("latin1").split("\n").slice(3).join("");
  return Buffer.from(digits, "hex");
}

/** The XMP packet of an iTXt chunk (section 11.3.3.4), or null for another text. */
function xmpText(data: Uint8Array): string | null {
  const [keyword, flags] = splitAtNul(data);
  if (keyword !== "XML:com.adobe.xmp") return null;
  const compressed = flags[0] === 1;
  const [, afterLanguage] = splitAtNul(flags.subarray(2));
  const [, text] = splitAtNul(afterLanguage);
  const plain = compressed ? inflateMetadata(text) : text;
  return plain === null ? null : Buffer.from(plain).toString("utf8");
}

function splitAtNul(data: Uint8Array): [before: string, after: Uint8Array] {
  const end = data.indexOf(0);
  if (end < 0) return [Buffer.from(data).toString("latin1"), data.subarray(data.length)];
  return [Buffer.from(data.subarray(0, end)).toString("latin1"), data.subarray(end + 1)];
}

/** Unreadable metadata costs the orientation, never the picture. */
function inflateMetadata(data: Uint8Array): Uint8Array | null {
  try {
    return inflateSync(data, { maxOutputLength: MAX_METADATA_BYTES });
  } catch {
    return null;
  }
}
