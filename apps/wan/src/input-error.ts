/** Bad input, told in one line; the process ends with status 2. */
export class InputError extends Error {
  override readonly name = "InputError";
  readonly code = "input";
}

/** Codes of errors that what was asked for can't cause alone, wherever they come up. */
const notInput = new Set(["internal", "outOfMemory", "cancelled", "GenericFailure"]);

/**
 * Runs what looks at input before any work starts. A refusal in there is bad input: the error of a
 * package or of the system, which have a code. An error without one is a mistake of wan-ts itself
 * and stays what it is, as do those of memory and cancelling.
 *
 * @throws {InputError} with the refusal as its cause.
 */
export async function checkingInput<T>(body: () => T | Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw isRefusal(error) ? new InputError(error.message, { cause: error }) : error;
  }
}

function isRefusal(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof InputError) return false;
  return "code" in error && typeof error.code === "string" && !notInput.has(error.code);
}
