import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where lines go that are shown. */
interface Terminal {
  write(text: string): unknown;
}

/**
 * Takes the lines of ranks other than 0: shown with the rank before each, or kept in a file a rank, in
 * a temporary folder that is made with the first line. Unless it is kept the folder goes when this is
 * disposed.
 */
export class RankLogs implements Disposable {
  readonly #terminal: Terminal | undefined;
  readonly #parent: string;
  #folder: string | undefined;
  #kept = false;

  /**
   * @param terminal where to show lines; without it they go to files.
   * @param parent where the folder of the files is made.
   */
  constructor(terminal?: Terminal, parent = tmpdir()) {
    this.#terminal = terminal;
    this.#parent = parent;
  }

  /** Takes a line of a rank. */
  take(rank: number, line: string): void {
    if (this.#terminal) {
      this.#terminal.write(`[rank ${rank}] ${line}\n`);
      return;
    }
    this.#folder ??= mkdtempSync(join(this.#parent, "wan-ranks-"));
    appendFileSync(join(this.#folder, `rank-${rank}.log`), `${line}\n`);
  }

  /** Keeps the files; returns their folder, or undefined where no rank has written a line. */
  keep(): string | undefined {
    this.#kept = true;
    return this.#folder;
  }

  [Symbol.dispose](): void {
    if (this.#folder !== undefined && !this.#kept) rmSync(this.#folder, { recursive: true, force: true });
  }
}
