import { CorruptImageData } from "./errors.ts";
import type { OrientationMetadata } from "./orientation.ts";

/** Markers of ITU-T T.81, table B.1. */
const marker = { restartFirst: 0xd0, restartLast: 0xd7, end: 0xd9, scan: 0xda, app1: 0xe1, temporary: 0x01 };
const EXIF_PREFIX = "Exif\0\0";
const XMP_PREFIX = "http://ns.adobe.com/xap/1.0/\0";

/**
 * Walks through a JPEG file's segments, finds its metadata, and makes sure that the file goes on to
 * its end marker: the decoder itself fills what is missing with grey.
 *
 * @throws {CorruptImageData} where the file ends before its end marker.
 */
export function readJpegMetadata(bytes: Uint8Array): OrientationMetadata {
  let exif: Uint8Array | null = null;
  let xmp: string | null = null;
  let at = 2;
  for (;;) {
    // Filling bytes and stray bytes before a marker are allowed, coded data has none inside.
    at = nextMarker(bytes, at);
    if (at < 0) throw new CorruptImageData("the file ends before its end-of-image marker");
    const code = bytes[at + 1]!;
    at += 2;
    if (code === marker.end) return { exif, xmp };
    if (code === marker.temporary) continue;
    const length = at + 2 <= bytes.length ? bytes[at]! * 256 + bytes[at + 1]! : 0;
    if (length < 2 || at + length > bytes.length) {
      throw new CorruptImageData(`the file ends within a segment (marker ${code.toString(16)})`);
    }
    if (code === marker.app1) {
      const data = bytes.subarray(at + 2, at + length);
      if (startsWith(data, EXIF_PREFIX)) exif ??= data;
      else if (startsWith(data, XMP_PREFIX))
        xmp ??= new TextDecoder().decode(data.subarray(XMP_PREFIX.length));
    }
    at += length;
  }
}

/** Index of the next 0xFF that begins a marker with meaning, or −1; T.81, B.1.1.2 to B.1.1.5. */
function nextMarker(bytes: Uint8Array, from: number): number {
  let at = bytes.indexOf(0xff, from);
  while (at >= 0 && at + 1 < bytes.length) {
    const code = bytes[at + 1]!;
    const stuffed = code === 0;
    const restart = code >= marker.restartFirst && code <= marker.restartLast;
    if (!stuffed && !restart && code !== 0xff) return at;
    at = bytes.indexOf(0xff, at + 1);
  }
  return -1;
}

function startsWith(data: Uint8Array, prefix: string): boolean {
  return String.fromCharCode(...data.subarray(0, prefix.length)) === prefix;
}
