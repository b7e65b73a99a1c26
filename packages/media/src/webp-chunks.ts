import { CorruptImageData } from "./errors.ts";
import type { OrientationMetadata } from "./orientation.ts";

/** What this package needs of a WebP file besides its picture. */
export interface WebpFile extends OrientationMetadata {
  readonly animated: boolean;
}

const RIFF_HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 8;

/**
 * Reads the chunks of a WebP file (RFC 9649, section 2) for its metadata.
 *
 * @throws {CorruptImageData} where the file is shorter than it says.
 */
export function readWebpFile(bytes: Uint8Array): WebpFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < RIFF_HEADER_BYTES + CHUNK_HEADER_BYTES) {
    throw new CorruptImageData(`the file has ${bytes.length} bytes`);
  }
  const end = view.getUint32(4, true) + 8;
  if (end > bytes.length) {
    throw new CorruptImageData(`the file has ${bytes.length} bytes, its header says ${end}`);
  }
  let exif: Uint8Array | null = null;
  let xmp: string | null = null;
  let animated = false;
  let at = RIFF_HEADER_BYTES;
  while (at + CHUNK_HEADER_BYTES <= end) {
    const type = String.fromCharCode(...bytes.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    const data = bytes.subarray(at + CHUNK_HEADER_BYTES, at + CHUNK_HEADER_BYTES + length);
    if (type === "EXIF") exif ??= data;
    else if (type === "XMP ") xmp ??= new TextDecoder().decode(data);
    else if (type === "ANIM") animated = true;
    // Chunks begin at even offsets.
    at += CHUNK_HEADER_BYTES + length + (length & 1);
  }
  return { exif, xmp, animated };
}
