/** Boxes on the way to those with times; ISO/IEC 14496-12, clause 8. */
const containers = ["moov", "trak", "mdia"];
/** Movie, track and media header: version and flags, then creation and modification time. */
const headers = ["mvhd", "tkhd", "mdhd"];
const BOX_HEADER_BYTES = 8;
const VERSION_AND_FLAGS_BYTES = 4;

/**
 * Sets the creation and modification times of an MP4 file to 0, in place, so that the same frames give
 * the same file whenever it is written.
 */
export function clearMp4Times(file: Uint8Array): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const walk = (from: number, to: number): void => {
    let at = from;
    while (at + BOX_HEADER_BYTES <= to) {
      const short = view.getUint32(at);
      const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
      // Size 1 says that a 64-bit size follows the type, size 0 that the box is the last (clause 4.2).
      const [size, header] =
        short === 1 ? [Number(view.getBigUint64(at + 8)), 16] : [short || to - at, BOX_HEADER_BYTES];
      if (containers.includes(type)) walk(at + header, at + size);
      if (headers.includes(type)) {
        const body = at + header;
        // Two times, of 32 bits in version 0 and of 64 in version 1.
        const bytes = file[body] === 1 ? 16 : 8;
        file.fill(0, body + VERSION_AND_FLAGS_BYTES, body + VERSION_AND_FLAGS_BYTES + bytes);
      }
      at += size;
    }
  };
  walk(0, file.length);
}
