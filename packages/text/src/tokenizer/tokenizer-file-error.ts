/** What is wrong with a tokenizer file. */
export type TokenizerFileErrorCode =
  | "TOKENIZER_FILE_MISSING"
  | "TOKENIZER_FILE_TOO_LARGE"
  | "TOKENIZER_FILE_INVALID"
  | "TOKENIZER_OPTION_UNSUPPORTED";

/** The native parser quotes what it can't read, a charsmap of 300 kB too. */
const longestReason = 500;

/** A tokenizer file that is absent, too large, malformed, or asks for what isn't supported. */
export class TokenizerFileError extends Error {
  override readonly name = "TokenizerFileError";

  /**
   * @param code the kind of fault
   * @param file path of the file
   * @param reason what was found and what was expected; the message has no more than its first 500 characters
   */
  constructor(
    readonly code: TokenizerFileErrorCode,
    readonly file: string,
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(
      `${file}: ${reason.length > longestReason ? `${reason.slice(0, longestReason)}…` : reason}`,
      options,
    );
  }
}
