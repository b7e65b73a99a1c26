import type { WanCheckpoint } from "./checkpoint.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { type LoadOptions, loadComponents } from "./components.ts";
import { CheckpointError } from "./errors.ts";
import type { GenerateOptions } from "./options.ts";
import { type Conditioning, WanPipeline } from "./pipeline.ts";

/** Video from a prompt, with a Wan 2.1 text-to-video checkpoint. */
export class WanTextToVideoPipeline extends WanPipeline<GenerateOptions> {
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
    if (checkpoint.task !== "textToVideo") {
      throw new CheckpointError(checkpoint.path, "a text-to-video checkpoint", "an image-to-video one");
    }
    return new WanTextToVideoPipeline(checkpoint, await loadComponents(checkpoint, options));
  }

  protected override check(): void {}

  protected override prepareConditioning(): Promise<Conditioning> {
    return Promise.resolve({});
  }
}
