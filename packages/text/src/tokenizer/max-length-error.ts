/** A length to pad and truncate to that no text can have. */
export class MaxLengthError extends Error {
  override readonly name = "MaxLengthError";
  readonly code = "TOKENIZER_MAX_LENGTH_INVALID";

  /**
   * @param maxLength what was asked for
   * @param minimum the special tokens that every text takes
   * @param maximum the longest that is taken
   */
  constructor(
    readonly maxLength: number,
    readonly minimum: number,
    readonly maximum: number,
  ) {
    super(`maxLength is ${maxLength}; give a whole number from ${minimum} to ${maximum}`);
  }
}
