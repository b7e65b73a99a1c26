/** Kinds of {@link HubError}. */
export type HubErrorCode =
  | "notFound"
  | "notADirectory"
  | "invalidModelId"
  | "invalidRevision"
  | "invalidVariant"
  | "notInCache"
  | "unreadable"
  | "fileTooLarge"
  | "invalidJson"
  | "modelIndex"
  | "missingComponent"
  | "missingFile"
  | "missingVariant"
  | "missingWeights"
  | "outsideModel"
  | "pickle"
  | "shardIndex"
  | "duplicateTensor"
  | "missingTensor"
  | "closed";

/** One thing that isn't as it must be. */
export interface HubProblem {
  /** The key, tensor or file that this is about; "" for the path itself. */
  readonly subject: string;
  readonly expected: string;
  readonly found: string;
}

/** What a {@link HubError} is made of. */
export interface HubErrorFacts {
  readonly code: HubErrorCode;
  readonly path: string;
  readonly problems: readonly HubProblem[];
  readonly remedy?: string;
  readonly cause?: unknown;
}

const hubMarker = Symbol.for("wan-ts.HubError");
/** How many problems a message spells out; the error has them all. */
const toldProblems = 5;

/** A model, or a file of one, that can't be found or taken. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly code: HubErrorCode;
  /** The file, directory or model id. */
  readonly path: string;
  /** At least one. */
  readonly problems: readonly HubProblem[];
  /** What to do about it, or "". */
  readonly remedy: string;
  readonly [hubMarker] = true;

  constructor({ code, path, problems, remedy = "", cause }: HubErrorFacts) {
    const told = problems.slice(0, toldProblems).map(describe).join("; ");
    const more = problems.length > toldProblems ? `; and ${problems.length - toldProblems} more` : "";
    const advice = remedy === "" ? "" : `. ${remedy}`;
    super(`${path}: ${told}${more}${advice}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.path = path;
    this.problems = problems;
    this.remedy = remedy;
  }

  /** Whether `error` is a `HubError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is HubError {
    return typeof error === "object" && error !== null && hubMarker in error;
  }
}

function describe({ subject, expected, found }: HubProblem): string {
  return `${subject === "" ? "" : `${subject}: `}expected ${expected}, found ${found}`;
}

/** Kinds of {@link SafetensorsError}, named as the native reader names them. */
export const safetensorsErrorCodes = [
  "io",
  "notAFile",
  "pickle",
  "lfsPointer",
  "fileLength",
  "headerLength",
  "header",
  "duplicateName",
  "unknownDtype",
  "unsupportedDtype",
  "shape",
  "offsets",
  "missingTensor",
  "reservedName",
] as const;

/** A kind of {@link SafetensorsError}. */
export type SafetensorsErrorCode = (typeof safetensorsErrorCodes)[number];

/** What a {@link SafetensorsError} is made of. */
export interface SafetensorsErrorFacts {
  readonly code: SafetensorsErrorCode;
  readonly file: string;
  readonly tensor?: string | undefined;
  readonly expected: string;
  readonly found: string;
  readonly cause?: unknown;
}

const safetensorsMarker = Symbol.for("wan-ts.SafetensorsError");

/** A weight file that isn't a right safetensors file, or a tensor of one that can't be used. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";
  readonly code: SafetensorsErrorCode;
  readonly file: string;
  /** The tensor at fault, or undefined where the whole file is. */
  readonly tensor: string | undefined;
  readonly expected: string;
  readonly found: string;
  readonly [safetensorsMarker] = true;

  constructor({ code, file, tensor, expected, found, cause }: SafetensorsErrorFacts) {
    const subject = tensor === undefined ? "" : `tensor ${JSON.stringify(tensor)}: `;
    super(
      `${file}: ${subject}expected ${expected}, found ${found}`,
      cause === undefined ? undefined : { cause },
    );
    this.code = code;
    this.file = file;
    this.tensor = tensor;
    this.expected = expected;
    this.found = found;
  }

  /** Whether `error` is a `SafetensorsError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is SafetensorsError {
    return typeof error === "object" && error !== null && safetensorsMarker in error;
  }
}
