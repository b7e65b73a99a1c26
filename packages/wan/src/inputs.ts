import type { Task, WanCheckpoint } from "./checkpoint.ts";
import { CheckpointError, PipelineInputError } from "./errors.ts";

/** Inputs that only some checkpoints take; what counts is whether they are given. */
export interface OptionalInputs {
  readonly image?: unknown;
  readonly lastImage?: unknown;
  readonly imageEmbeds?: unknown;
  readonly guidanceScale2?: unknown;
}

/** Whether a checkpoint takes a last frame beside the first: it must have one, may have one, or can't. */
export function takesLastImage(checkpoint: WanCheckpoint, task: Task): "always" | "optionally" | "never" {
  if (task === "textToVideo" || checkpoint.expandTimesteps) return "never";
  if (checkpoint.transformer.posEmbedSeqLen !== null) return "always";
  // Image tokens without positions are those of one image.
  return checkpoint.imageEncoder ? "never" : "optionally";
}

/**
 * What to make with a checkpoint that may do several things: video from an image where one is given,
 * else from text alone. A checkpoint that does one thing does that.
 */
export function chooseTask(checkpoint: WanCheckpoint, given: Pick<OptionalInputs, "image">): Task {
  if (checkpoint.tasks.length === 1) return checkpoint.task;
  return given.image === undefined ? "textToVideo" : "imageToVideo";
}

const taskNames: Readonly<Record<Task, string>> = {
  textToVideo: "a text-to-video checkpoint",
  imageToVideo: "an image-to-video checkpoint",
};

/** @throws {CheckpointError} where a checkpoint isn't for a task. */
export function checkTask(checkpoint: WanCheckpoint, task: Task): void {
  if (checkpoint.tasks.includes(task)) return;
  throw new CheckpointError(checkpoint.path, taskNames[task], taskNames[checkpoint.task]);
}

/**
 * Refuses inputs that a checkpoint doesn't take for a task, and misses those it needs. Reads configs
 * alone, so that a job which can't run ends before its weights load.
 *
 * @throws {PipelineInputError} that names the input, {CheckpointError} for a task it isn't for.
 */
export function checkInputs(checkpoint: WanCheckpoint, task: Task, given: OptionalInputs): void {
  checkTask(checkpoint, task);
  const { path } = checkpoint;
  const refuse = (option: keyof OptionalInputs, reason: string): void => {
    if (given[option] !== undefined) throw new PipelineInputError(option, `left out, as ${reason}`, "given");
  };
  const require = (option: keyof OptionalInputs, reason: string): void => {
    if (given[option] === undefined) throw new PipelineInputError(option, `given, as ${reason}`, "missing");
  };
  if (!checkpoint.lowNoiseExpert)
    refuse("guidanceScale2", `${path} has one transformer for all noise levels`);
  if (task === "textToVideo") {
    const alone = checkpoint.tasks.length === 1;
    const reason = alone ? `${path} makes videos from text alone` : "text to video takes no frames";
    for (const option of ["image", "lastImage", "imageEmbeds"] as const) {
      refuse(option, reason);
    }
    return;
  }
  require("image", `${path} makes videos from an image and a prompt`);
  if (!checkpoint.imageEncoder) refuse("imageEmbeds", `${path} doesn't attend to image tokens`);
  const lastImage = takesLastImage(checkpoint, task);
  if (lastImage === "always") require("lastImage", `${path} makes videos from a first and a last frame`);
  if (lastImage === "never") refuse("lastImage", `${path} makes videos from a first frame alone`);
}
