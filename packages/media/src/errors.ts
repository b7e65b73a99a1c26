/** Kinds of {@link ImageError}. */
export type ImageErrorCode =
  | "notFound"
  | "notAFile"
  | "unreadable"
  | "fileTooLarge"
  | "tooManyPixels"
  | "unsupportedFormat"
  | "corrupt";

/** An image that can't be loaded: which, what was found, and the limit it broke if it was one. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly code: ImageErrorCode;
  /** The file, or the name that the caller gave the bytes. */
  readonly path: string;
  /** What is there: a format, a size, the defect. */
  readonly found: string;
  /** What would be taken. */
  readonly expected: string;

  constructor(
    code: ImageErrorCode,
    facts: { path: string; found: string; expected: string; message: string; cause?: unknown },
  ) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.path = facts.path;
    this.found = facts.found;
    this.expected = facts.expected;
  }
}

/** An argument of an image or video function that is out of range. */
export class MediaArgumentError extends Error {
  override readonly name = "MediaArgumentError";
  readonly code = "mediaArgument";
  /** The function that refused. */
  readonly operation: string;
  /** The argument, by its name in the call. */
  readonly argument: string;
  readonly expected: string;
  readonly found: string;

  constructor(operation: string, argument: string, expected: string, found: string) {
    super(`${operation}: ${argument} must be ${expected}, but is ${found}`);
    this.operation = operation;
    this.argument = argument;
    this.expected = expected;
    this.found = found;
  }
}

/** A preprocessor_config.json that doesn't say what this package can do; every problem at once. */
export class PreprocessorConfigError extends Error {
  override readonly name = "PreprocessorConfigError";
  readonly code = "preprocessorConfig";
  /** One sentence a problem, each naming its key. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`preprocessor_config.json: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

/** What the native H.264 encoder refused or failed at. */
export class H264EncoderError extends Error {
  override readonly name = "H264EncoderError";
  /** The encoder's kind of error: oddSize, sizeOutOfRange, frameRate, frameLength, codec, … */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A frame that the H.264 encoder could not encode; the encoder's own error is the cause. */
export class VideoEncodeError extends Error {
  override readonly name = "VideoEncodeError";
  readonly code = "videoEncode";
  /** The frame, from 0, or −1 where the stream could not be started. */
  readonly frame: number;

  constructor(frame: number, reason: string, cause: unknown) {
    const what = frame < 0 ? "could not start" : `failed at frame ${frame}`;
    super(`the H.264 encoder ${what}: ${reason}`, { cause });
    this.frame = frame;
  }
}

/** Kinds of {@link OutputError}. */
export type OutputErrorCode =
  | "missingFolder"
  | "notAFolder"
  | "notWritable"
  | "isDirectory"
  | "notAFile"
  | "directoryInUse"
  | "unknownExtension"
  | "diskFull"
  | "writeFailed";

/** An output that can't be written. What was at the path before is still there. */
export class OutputError extends Error {
  override readonly name = "OutputError";
  readonly code: OutputErrorCode;
  /** The output path as the caller gave it. */
  readonly path: string;
  /** What to do about it. */
  readonly remedy: string;

  constructor(
    code: OutputErrorCode,
    facts: { path: string; problem: string; remedy: string; cause?: unknown },
  ) {
    super(
      `cannot write ${facts.path}: ${facts.problem}; ${facts.remedy}`,
      facts.cause === undefined ? undefined : { cause: facts.cause },
    );
    this.code = code;
    this.path = facts.path;
    this.remedy = facts.remedy;
  }
}

/** What a decoder found wrong in a file's bytes; the loader makes an {@link ImageError} of it. */
export class CorruptImageData extends Error {
  override readonly name = "CorruptImageData";
}
