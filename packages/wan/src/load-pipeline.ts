import type { Task, WanCheckpoint } from "./checkpoint.ts";
import type { LoadOptions } from "./components.ts";
import { WanImageToVideoPipeline } from "./image-to-video.ts";
import { WanTextToVideoPipeline } from "./text-to-video.ts";

/** How {@link loadPipeline} loads a checkpoint. */
export interface LoadPipelineOptions extends LoadOptions {
  /** What to make, of the checkpoint's `tasks`; by default what its `model_index.json` says. */
  readonly task?: Task | undefined;
}

/**
 * The pipeline of a checkpoint, loaded; `task` of the result tells which it is.
 *
 * @throws {CheckpointError} where the checkpoint isn't for the task, and whatever loading throws.
 */
export function loadPipeline(
  checkpoint: WanCheckpoint,
  options: LoadPipelineOptions = {},
): Promise<WanTextToVideoPipeline | WanImageToVideoPipeline> {
  const { task = checkpoint.task, ...load } = options;
  return task === "imageToVideo"
    ? WanImageToVideoPipeline.fromCheckpoint(checkpoint, load)
    : WanTextToVideoPipeline.fromCheckpoint(checkpoint, load);
}
