import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Text that waits on the disk to be put together. The file has no name, so that nothing is left of it
 * however this process ends.
 */
export class TraceSpool implements Disposable {
  readonly #file: number;
  #size = 0;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), "wan-trace-"));
    try {
      this.#file = openSync(join(folder, "spool"), "wx+");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** How many bytes it has. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes at the end. */
  append(bytes: Uint8Array): void {
    let written = 0;
    while (written < bytes.length) {
      written += writeSync(this.#file, bytes, written, bytes.length - written, this.#size + written);
    }
    this.#size += bytes.length;
  }

  /** The bytes from the beginning, in pieces of at most `pieceBytes`. */
  *pieces(pieceBytes: number): Generator<Uint8Array> {
    for (let start = 0; start < this.#size; start += pieceBytes) {
      const piece = new Uint8Array(Math.min(pieceBytes, this.#size - start));
      let read = 0;
      while (read < piece.length) {
        const count = readSync(this.#file, piece, read, piece.length - read, start + read);
        if (count === 0) throw new Error("a file without a name has lost its end");
        read += count;
      }
      yield piece;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
