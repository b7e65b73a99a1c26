import { checkOptions, type RunSizes, type SizeRules } from "./check-options.ts";
import type { WanCheckpoint } from "./checkpoint.ts";
import type { GenerateOptions } from "./options.ts";

/**
 * Checks options against what a checkpoint takes, as `generate` does, and fills in defaults: for a
 * caller that wants to know before weights load.
 *
 * @throws {PipelineInputError} with the nearest sizes that fit.
 */
export function checkGenerateOptions(checkpoint: WanCheckpoint, options: GenerateOptions): RunSizes {
  return checkOptions(options, sizeRules(checkpoint));
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
