import { openCheckpoint, type WanCheckpoint } from "./checkpoint.ts";
import { type LoadOptions, loadComponents } from "./components.ts";
import { checkTask } from "./inputs.ts";
import type { GenerateOptions } from "./options.ts";
import { type Conditioning, WanPipeline } from "./pipeline.ts";
import { noCondition } from "./video-condition.ts";

/**
 * Video from a prompt: Wan 2.1 T2V, Wan 2.2 T2V-A14B and TI2V-5B. After `WanPipeline` of diffusers.
 */
export class WanTextToVideoPipeline extends WanPipeline<GenerateOptions> {
  override readonly task = "textToVideo";

  /**
   * Loads a checkpoint in diffusers layout: a directory or a hub id.
   *
   * @throws {CheckpointError} where it is for another pipeline, and whatever opening and loading throw.
   */
  static async fromPretrained(model: string, options: LoadOptions = {}): Promise<WanTextToVideoPipeline> {
    return WanTextToVideoPipeline.fromCheckpoint(await openCheckpoint(model, options), options);
  }

  /** Loads a checkpoint that was opened before. */
  static async fromCheckpoint(
    checkpoint: WanCheckpoint,
    options: LoadOptions = {},
  ): Promise<WanTextToVideoPipeline> {
    checkTask(checkpoint, "textToVideo");
    return new WanTextToVideoPipeline(checkpoint, await loadComponents(checkpoint, options), options);
  }

  protected override prepareConditioning(): Promise<Conditioning> {
    // Where tokens have their own timesteps (Wan 2.2 TI2V), here all have the same: one for each sample.
    return Promise.resolve({ condition: noCondition });
  }
}
