/** A seed or a count that a generator can't take. */
export class GeneratorArgumentError extends Error {
  override readonly name = "GeneratorArgumentError";
  readonly code = "GENERATOR_ARGUMENT_INVALID";

  /**
   * @param argument the argument at fault
   * @param expected what it may be, in words
   * @param found what it was
   */
  constructor(
    readonly argument: "seed" | "count",
    readonly expected: string,
    readonly found: number | bigint,
  ) {
    super(`${argument} of the random generator is ${found}; give ${expected}`);
  }
}
