import { checkOptions, type RunSizes, type SizeRules } from "./check-options.ts";
import type { Task, WanCheckpoint } from "./checkpoint.ts";
import { PipelineInputError } from "./errors.ts";
import { checkInputs, chooseTask } from "./inputs.ts";
import type { GenerateOptions, ImageToVideoOptions } from "./options.ts";

/**
 * Checks options against what a checkpoint takes, as `generate` does, and fills in defaults: for a
 * caller that wants to know before weights load.
 *
 * @param task by default what the checkpoint makes of these options.
 * @throws {PipelineInputError} with the nearest sizes that fit, {CheckpointError} for a task that the
 * checkpoint isn't for.
 */
export function checkGenerateOptions(
  checkpoint: WanCheckpoint,
  options: GenerateOptions & Partial<ImageToVideoOptions>,
  task: Task = chooseTask(checkpoint, options),
): RunSizes {
  checkInputs(checkpoint, task, options);
  const sizes = checkOptions(options, sizeRules(checkpoint));
  checkImages(checkpoint, options, sizes);
  return sizes;
}

function checkImages(
  { transformer: { imageDim, posEmbedSeqLen } }: WanCheckpoint,
  { lastImage, imageEmbeds }: Partial<ImageToVideoOptions>,
  { numFrames }: RunSizes,
): void {
  if (lastImage && numFrames < 2) {
    throw new PipelineInputError("numFrames", "at least 2 with a last frame", `${numFrames}`);
  }
  if (!imageEmbeds) return;
  const images = lastImage ? 2 : 1;
  const tokens = posEmbedSeqLen === null ? undefined : posEmbedSeqLen / 2;
  const fits =
    imageEmbeds.rank === 3 &&
    imageEmbeds.size(0) === images &&
    imageEmbeds.size(1) === (tokens ?? Math.max(1, imageEmbeds.size(1))) &&
    imageEmbeds.size(2) === imageDim;
  if (fits) return;
  throw new PipelineInputError(
    "imageEmbeds",
    `of shape [${images}, ${tokens ?? "tokens"}, ${imageDim}]`,
    `[${imageEmbeds.shape.join(", ")}]`,
  );
}

function sizeRules({ transformer, vae }: WanCheckpoint): SizeRules {
  return {
    spatialFactor: vae.scaleFactorSpatial,
    temporalFactor: vae.scaleFactorTemporal,
    patchSize: transformer.patchSize,
    latentChannels: vae.zDim,
    textDim: transformer.textDim,
    ropeMaxSeqLen: transformer.ropeMaxSeqLen,
  };
}
