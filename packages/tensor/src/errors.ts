/** What kind of thing went wrong; see {@link TensorError}. */
export const tensorErrorCodes = [
  "shape",
  "dtype",
  "argument",
  "outOfMemory",
  "device",
  "cuda",
  "cancelled",
  "collective",
  "internal",
] as const;

/** The kind of a {@link TensorError}. */
export type TensorErrorCode = (typeof tensorErrorCodes)[number];

/** Whether `code` is one of {@link TensorErrorCode}. */
export function isTensorErrorCode(code: unknown): code is TensorErrorCode {
  return tensorErrorCodes.some((known) => known === code);
}

const marker = Symbol.for("wan-ts.TensorError");

/** The facts of a {@link TensorError}. */
export interface TensorErrorFacts {
  readonly code: TensorErrorCode;
  readonly operation: string;
  readonly argument: string;
  readonly expected: string;
  readonly found: string;
  readonly message: string;
}

/**
 * A tensor operation that was refused or failed.
 *
 * `shape`, `dtype`, `argument` and `device` (one that isn't there, or tensors on different ones) are
 * thrown where the operation is called. `outOfMemory`, `cuda` (the driver failed), `cancelled`,
 * `collective` (a rank failed the others) and `internal` come when the value is read, for
 * operations run after they are called.
 */
export class TensorError extends Error {
  override readonly name = "TensorError";
  readonly code: TensorErrorCode;
  /** The operation, by its name in this package. */
  readonly operation: string;
  /** The argument at fault, or "". */
  readonly argument: string;
  /** What the operation takes, or "". */
  readonly expected: string;
  /** What it got. */
  readonly found: string;
  readonly [marker] = true;

  constructor(facts: TensorErrorFacts) {
    super(facts.message);
    this.code = facts.code;
    this.operation = facts.operation;
    this.argument = facts.argument;
    this.expected = facts.expected;
    this.found = facts.found;
  }

  /** Whether `error` is a `TensorError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is TensorError {
    return typeof error === "object" && error !== null && marker in error;
  }

  /** A refused argument. */
  static argument(operation: string, argument: string, expected: string, found: string): TensorError {
    return new TensorError({
      code: "argument",
      operation,
      argument,
      expected,
      found,
      message: `${operation}: ${argument} must be ${expected}, but is ${found}`,
    });
  }
}

/** The typed error behind one that the addon threw; other errors come back as they are. */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith("{")) return error;
  let facts: unknown;
  try {
    facts = JSON.parse(error.message);
  } catch {
    return error;
  }
  return isFacts(facts) ? new TensorError(facts) : error;
}

function isFacts(facts: unknown): facts is TensorErrorFacts {
  return (
    typeof facts === "object" &&
    facts !== null &&
    "code" in facts &&
    isTensorErrorCode(facts.code) &&
    ["operation", "argument", "expected", "found", "message"].every(
      (key) => typeof (facts as Record<string, unknown>)[key] === "string",
    )
  );
}

/** Calls into the addon, turning its errors into {@link TensorError}s. */
export function callNative<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Awaits the addon, turning its errors into {@link TensorError}s. */
export async function awaitNative<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw fromNative(error);
  }
}
