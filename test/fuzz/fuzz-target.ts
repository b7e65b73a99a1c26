import type { FuzzRandom } from "./random.ts";

/** What one case feeds. */
export interface FuzzInput {
  /** Which of a target's files the bytes stand for. */
  readonly place: string;
  readonly bytes: Uint8Array;
}

/** Something that reads what strangers write. */
export interface FuzzTarget {
  readonly name: string;
  /** By how much memory the process may grow at most, reader and fuzzer together. */
  readonly maxResidentBytes: number;
  /** Gets ready; `folder` is an empty directory for files. */
  open(folder: string): Promise<OpenFuzzTarget>;
}

/** A target that is ready. */
export interface OpenFuzzTarget {
  /** The input of a case: a function of `random` alone. */
  input(random: FuzzRandom): FuzzInput;
  /**
   * Reads an input.
   *
   * @returns `accepted`, or the kind of the refusal
   * @throws where the reader did what it may not: an error of no type, a result out of bounds
   */
  run(input: FuzzInput): Promise<string>;
}

/** What `run` returns for an input that was taken. */
export const accepted = "accepted";

/** A reader's answer that breaks a promise of its own. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/** The most characters that an error's message may have: it is for a person to read, all problems together. */
const longestMessage = 20_000;

/**
 * The kind of a refusal: class and code of a typed error.
 *
 * @throws `error` itself where it is none of `classes`, {@link BrokenPromise} where its message is longer
 * than anybody reads
 */
export function refusalOf(error: unknown, classes: readonly (new (...args: never[]) => Error)[]): string {
  if (!(error instanceof Error) || !classes.some((one) => error instanceof one)) throw error;
  if (error.message.length > longestMessage) {
    throw new BrokenPromise(`a message of ${error.message.length} characters`, { cause: error });
  }
  const code = "code" in error ? `.${String(error.code)}` : "";
  return `${error.name}${code}`;
}
