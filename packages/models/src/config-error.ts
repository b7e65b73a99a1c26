const marker = Symbol.for("wan-ts.ConfigError");

/** One value of a config file that can't be taken. */
export interface ConfigProblem {
  /** Path of the value inside the file, as `patch_size[1]`; "" for the whole file. */
  readonly key: string;
  /** What stands there, as JSON (shortened), or "missing". */
  readonly found: string;
  /** What may stand there. */
  readonly allowed: string;
}

/** Problems in a message; a list of a thousand wrong values has as many. */
const mostTold = 20;

/** A model config that is not one this package can build a model from. All its problems are told together, the first of them in the message. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "config";
  /** The config file, as it was named to the parser. */
  readonly file: string;
  readonly problems: readonly ConfigProblem[];
  readonly [marker] = true;

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const told = problems.slice(0, mostTold).map(describe).join("; ");
    const rest = problems.length - mostTold;
    super(`${file}: ${told}${rest > 0 ? `; and ${rest} more` : ""}`);
    this.file = file;
    this.problems = problems;
  }

  /** Whether `error` is a `ConfigError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is ConfigError {
    return typeof error === "object" && error !== null && marker in error;
  }
}

function describe({ key, found, allowed }: ConfigProblem): string {
  const subject = key === "" ? "the file" : key;
  return `${subject} is ${found}, but must be ${allowed}`;
}
