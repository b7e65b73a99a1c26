import type { DamagedWeight } from "./damaged-weight.ts";

const inputMarker = Symbol.for("wan-ts.PipelineInputError");

/** An option of a pipeline that can't be used; thrown before anything heavy starts. */
export class PipelineInputError extends Error {
  override readonly name = "PipelineInputError";
  readonly code = "pipelineInput";
  /** The option, as {@link GenerateOptions} names it. */
  readonly option: string;
  readonly expected: string;
  readonly found: string;
  readonly [inputMarker] = true;

  constructor(option: string, expected: string, found: string) {
    super(`${option} must be ${expected}, but is ${found}`);
    this.option = option;
    this.expected = expected;
    this.found = found;
  }

  /** Whether `error` is a `PipelineInputError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is PipelineInputError {
    return typeof error === "object" && error !== null && inputMarker in error;
  }
}

/** A checkpoint that this package has no pipeline for, or whose parts don't fit together. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly code = "checkpoint";
  readonly file: string;
  readonly expected: string;
  readonly found: string;

  constructor(file: string, expected: string, found: string) {
    super(`${file}: expected ${expected}, found ${found}`);
    this.file = file;
    this.expected = expected;
    this.found = found;
  }
}

/** A value that is not finite where every one must be: weights or a step gone wrong. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";
  readonly code = "nonFinite";
  /** What was looked at, such as `latents`. */
  readonly tensor: string;
  /** The step, from 1, or undefined outside the denoising loop. */
  readonly step: number | undefined;
  /** The first weight that is not finite itself, where one was found. */
  readonly weight: DamagedWeight | undefined;

  constructor(tensor: string, step?: number, weight?: DamagedWeight) {
    const when = step === undefined ? "" : ` after step ${step}`;
    const why = weight
      ? `${weight.parameter} of the ${weight.model} has such values, so the checkpoint is damaged`
      : "the checkpoint's weights may be damaged, or the dtype too narrow; try float32";
    super(`${tensor}${when} have values that are not finite (NaN or infinity): ${why}`);
    this.tensor = tensor;
    this.step = step;
    this.weight = weight;
  }
}

/** A model that was asked for after its pipeline was disposed. */
export class DisposedError extends Error {
  override readonly name = "DisposedError";
  readonly code = "disposed";
  /** The model, as a checkpoint's parts are called. */
  readonly model: string;

  constructor(model: string) {
    super(`${model} was disposed with its pipeline; load the pipeline again`);
    this.model = model;
  }
}
