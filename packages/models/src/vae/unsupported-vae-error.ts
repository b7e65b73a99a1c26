const marker = Symbol.for("wan-ts.UnsupportedVaeError");

/** A VAE of a valid config whose architecture this package has no layers for. */
export class UnsupportedVaeError extends Error {
  override readonly name = "UnsupportedVaeError";
  readonly code = "unsupportedVae";
  /** The config's property, by its name in the file. */
  readonly property: string;
  readonly expected: string;
  readonly found: string;
  readonly [marker] = true;

  constructor(property: string, expected: string, found: string) {
    super(
      `the VAE of this checkpoint is not supported: ${property} is ${found}, but must be ${expected}, ` +
        "as in the VAE of Wan 2.1",
    );
    this.property = property;
    this.expected = expected;
    this.found = found;
  }

  /** Whether `error` is an `UnsupportedVaeError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is UnsupportedVaeError {
    return typeof error === "object" && error !== null && marker in error;
  }
}
