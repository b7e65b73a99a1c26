/** What a {@link ContextParallelError} is about. */
export type ContextParallelErrorCode =
  /** A degree that is no whole number of at least 1. */
  | "degree"
  /** Degrees whose product isn't the number of ranks. */
  | "worldSize"
  /** More ranks in an all-to-all than there are heads. */
  | "heads"
  /** More ranks than tokens. */
  | "tokens"
  /** A plan that doesn't fit the module tree. */
  | "plan"
  /** A tensor that a plan splits, and that isn't as the plan says. */
  | "tensor"
  /** An attention backend that can't be used over ranks in the way asked for. */
  | "attention"
  /** Guidance split where there is none. */
  | "guidance"
  /** Split over ranks already, or loaded without any. */
  | "state";

const marker = Symbol.for("wan-ts.ContextParallelError");

/** A split over ranks that can't be: the thing, what was expected, what was found. */
export class ContextParallelError extends Error {
  override readonly name = "ContextParallelError";
  readonly code: ContextParallelErrorCode;
  /** What can't be used: an option, a module, a tensor. */
  readonly subject: string;
  readonly expected: string;
  readonly found: string;
  readonly [marker] = true;

  constructor(
    code: ContextParallelErrorCode,
    subject: string,
    expected: string,
    found: string,
    options?: ErrorOptions,
  ) {
    super(`${subject} must be ${expected}, but is ${found}`, options);
    this.code = code;
    this.subject = subject;
    this.expected = expected;
    this.found = found;
  }

  /** Whether `error` is one, also where it comes from another copy of this package. */
  static isInstance(error: unknown): error is ContextParallelError {
    return typeof error === "object" && error !== null && marker in error;
  }
}
