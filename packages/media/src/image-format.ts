/** Formats that images are loaded from. */
export const imageFormats = ["png", "jpeg", "webp"] as const;

/** A format that images are loaded from. */
export type ImageFormat = (typeof imageFormats)[number];

/** What the first bytes of a file say it is: a format to decode, or a thing to name in an error. */
export type RecognizedFile =
  | { readonly format: ImageFormat; readonly description: string }
  | { readonly format: null; readonly description: string };

/** Bytes that are enough for {@link recognizeFile}. */
export const RECOGNITION_BYTES = 64;

interface Signature {
  /** Bytes at `offset`, as Latin-1 text. */
  readonly bytes: string;
  readonly offset?: number;
  /** A second condition, for containers that many formats share. */
  readonly and?: { readonly bytes: string; readonly offset: number };
  readonly format?: ImageFormat;
  readonly description: string;
}

/** In order: the first that fits wins. */
const signatures: readonly Signature[] = [
  { bytes: "\x89PNG\r\n\x1a\n", format: "png", description: "a PNG image" },
  { bytes: "\xff\xd8\xff", format: "jpeg", description: "a JPEG image" },
  { bytes: "RIFF", and: { bytes: "WEBP", offset: 8 }, format: "webp", description: "a WebP image" },
  { bytes: "RIFF", and: { bytes: "AVI ", offset: 8 }, description: "an AVI video" },
  { bytes: "RIFF", and: { bytes: "WAVE", offset: 8 }, description: "a WAV sound" },
  { bytes: "GIF8", description: "a GIF" },
  { bytes: "BM", description: "a BMP image" },
  { bytes: "II*\0", description: "a TIFF image" },
  { bytes: "MM\0*", description: "a TIFF image" },
  { bytes: "ftypavi", offset: 4, description: "an AVIF image" },
  { bytes: "ftyphe", offset: 4, description: "a HEIC image" },
  { bytes: "ftypmif1", offset: 4, description: "a HEIF image" },
  { bytes: "ftyp", offset: 4, description: "an MP4 video" },
  { bytes: "\0\0\0\x0cJXL ", description: "a JPEG XL image" },
  { bytes: "\xff\x0a", description: "a JPEG XL image" },
  { bytes: "\0\0\0\x0cjP  ", description: "a JPEG 2000 image" },
  { bytes: "8BPS", description: "a Photoshop document" },
  { bytes: "\0\0\x01\0", description: "an icon" },
  { bytes: "v/1\x01", description: "an OpenEXR image" },
  { bytes: "\x1aE\xdf\xa3", description: "a Matroska or WebM video" },
  { bytes: "%PDF", description: "a PDF document" },
  { bytes: "PK\x03\x04", description: "a ZIP archive" },
  { bytes: "\x1f\x8b", description: "a gzip archive" },
  { bytes: "version https://git-lfs", description: "a Git LFS pointer, not the file it stands for" },
];

/** Beginnings of texts, compared in lower case after white space. */
const textSignatures: readonly (readonly [prefix: string, description: string])[] = [
  ["<!doctype html", "an HTML page"],
  ["<html", "an HTML page"],
  ["<svg", "an SVG drawing"],
  ["<?xml", "an XML or SVG document"],
  ["{", "a JSON document"],
];

/**
 * Tells what a file is by its first bytes ({@link RECOGNITION_BYTES} are enough); its name plays no
 * part.
 */
export function recognizeFile(bytes: Uint8Array): RecognizedFile {
  if (bytes.length === 0) return { format: null, description: "an empty file" };
  const head = String.fromCharCode(...bytes.subarray(0, RECOGNITION_BYTES));
  for (const { bytes: expected, offset = 0, and, format, description } of signatures) {
    if (!head.startsWith(expected, offset)) continue;
    if (and !== undefined && !head.startsWith(and.bytes, and.offset)) continue;
    return { format: format ?? null, description };
  }
  const text = head
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .trimStart()
    .toLowerCase();
  for (const [prefix, description] of textSignatures) {
    if (text.startsWith(prefix)) return { format: null, description };
  }
  if (/^[\t\n\r\x20-\x7e]+$/.test(head)) return { format: null, description: "a text file" };
  const first = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0"));
  return { format: null, description: `a file of unknown format (first bytes ${first.join(" ")})` };
}
