/** What a test asks of a GIF file. */
export interface GifFile {
  readonly width: number;
  readonly height: number;
  /** Hundredths of a second of each frame. */
  readonly delays: readonly number[];
  /** Repetitions that the file asks for, 0 forever, or null where it says nothing. */
  readonly repeats: number | null;
  /** Colours in the table of each frame: its own, or the file's. */
  readonly colors: readonly number[];
}

/** Walks through the blocks of a GIF89a file to its trailer; throws where they don't fit together. */
export function readGif(bytes: Uint8Array): GifFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (Buffer.from(bytes.subarray(0, 6)).toString("latin1") !== "GIF89a") throw new Error("no GIF89a");
  const tableSize = (flags: number) => ((flags & 0x80) === 0 ? 0 : 2 ** ((flags & 7) + 1));
  const globalColors = tableSize(bytes[10]!);
  const delays: number[] = [];
  const colors: number[] = [];
  let repeats: number | null = null;
  let at = 13 + 3 * globalColors;
  const skipBlocks = () => {
    while (bytes[at] !== 0) at += bytes[at]! + 1;
    at += 1;
  };
  while (bytes[at] !== 0x3b) {
    const kind = bytes[at];
    if (kind === 0x21) {
      const label = bytes[at + 1];
      at += 2;
      if (label === 0xf9) delays.push(view.getUint16(at + 2, true));
      if (label === 0xff) repeats = view.getUint16(at + 14, true);
      skipBlocks();
    } else if (kind === 0x2c) {
      const local = tableSize(bytes[at + 9]!);
      colors.push(local || globalColors);
      at += 11 + 3 * local;
      skipBlocks();
    } else {
      throw new Error(`no block begins with ${kind} at ${at}`);
    }
  }
  if (at !== bytes.length - 1) throw new Error(`${bytes.length - 1 - at} bytes after the trailer`);
  return { width: view.getUint16(6, true), height: view.getUint16(8, true), delays, repeats, colors };
}
