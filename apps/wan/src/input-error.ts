/** Bad input, told in one line; the process ends with status 2. */
export class InputError extends Error {
  override readonly name = "InputError";
  readonly code = "input";
}
