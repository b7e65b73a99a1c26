import { type ModelComponent, type ModelDirectory, openModelDirectory, resolveModel } from "@wan-ts/hub";
import { type ClipPreprocessorConfig, parseClipPreprocessorConfig } from "@wan-ts/media";
import {
  type ClipVisionConfig,
  parseClipVisionConfig,
  parseTransformerConfig,
  parseUmt5Config,
  parseVaeConfig,
  type TransformerConfig,
  type Umt5Config,
  type VaeConfig,
} from "@wan-ts/models";
import { createScheduler, type Scheduler, type SchedulerKind } from "@wan-ts/schedulers";
import { checkParts } from "./check-parts.ts";
import { CheckpointError } from "./errors.ts";

/** What a checkpoint makes videos from. */
export type Task = "textToVideo" | "imageToVideo";

/** How {@link openCheckpoint} finds and reads a checkpoint. */
export interface OpenOptions {
  /** Files to prefer, as `fp16` of `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string | undefined;
  /** Branch, tag or commit, for a hub id; by default `main`. */
  readonly revision?: string | undefined;
  /** A scheduler in place of the checkpoint's. */
  readonly scheduler?: SchedulerKind | undefined;
  /** Shift of the noise levels in place of the checkpoint's. */
  readonly flowShift?: number | undefined;
}

/** The image encoder's part of a checkpoint. */
export interface ImageEncoderConfig {
  readonly encoder: ClipVisionConfig;
  readonly preprocessor: ClipPreprocessorConfig;
}

/** The second of two transformers, and where it takes over. */
export interface LowNoiseExpertConfig {
  readonly transformer: TransformerConfig;
  /** Share of the training timesteps below which it denoises. */
  readonly boundaryRatio: number;
}

/** A checkpoint whose configs are read and fit together; no weights are. */
export interface WanCheckpoint {
  /** The directory, as it was named or found. */
  readonly path: string;
  /** What `model_index.json` says that it is for. */
  readonly task: Task;
  /** What its weights can do: both, where the image takes the place of the first latent frame. */
  readonly tasks: readonly Task[];
  readonly directory: ModelDirectory;
  /** The only transformer, or the expert of high noise. */
  readonly transformer: TransformerConfig;
  /** The expert of low noise, where there are two (Wan 2.2 A14B). */
  readonly lowNoiseExpert: LowNoiseExpertConfig | undefined;
  /**
   * Whether each token has its own timestep and an image is the first latent frame (Wan 2.2 TI2V),
   * rather than channels beside the latents.
   */
  readonly expandTimesteps: boolean;
  readonly textEncoder: Umt5Config;
  readonly vae: VaeConfig;
  /** Present where the transformer attends to image tokens. */
  readonly imageEncoder: ImageEncoderConfig | undefined;
  readonly scheduler: Scheduler;
  /** Height and width are multiples of these. */
  readonly sizeMultiple: readonly [height: number, width: number];
}

const tasks: ReadonlyMap<string, Task> = new Map([
  ["WanPipeline", "textToVideo"],
  ["WanImageToVideoPipeline", "imageToVideo"],
]);

/**
 * Reads and checks every config of a checkpoint in diffusers layout: a directory or a hub id.
 *
 * @throws {HubError}, {ConfigError}, {SchedulerConfigError}, {PreprocessorConfigError} for files
 * that are missing or can't be taken, {CheckpointError} where the parts don't fit together.
 */
export async function openCheckpoint(model: string, options: OpenOptions = {}): Promise<WanCheckpoint> {
  const resolved = await resolveModel(
    model,
    options.revision === undefined ? {} : { revision: options.revision },
  );
  const directory = await openModelDirectory(resolved.directory, { variant: options.variant });
  const { className, expandTimesteps } = directory.index;
  const task = tasks.get(className);
  if (task === undefined) {
    throw new CheckpointError(
      indexFile(directory),
      `_class_name ${[...tasks.keys()].join(" or ")}`,
      className,
    );
  }
  const transformer = await read(directory.component("transformer"), parseTransformerConfig);
  const vae = await read(directory.component("vae"), parseVaeConfig);
  const checkpoint: WanCheckpoint = {
    path: directory.path,
    task,
    tasks: expandTimesteps ? [...tasks.values()] : [task],
    directory,
    transformer,
    lowNoiseExpert: await readLowNoiseExpert(directory),
    expandTimesteps,
    textEncoder: await read(directory.component("textEncoder"), parseUmt5Config),
    vae,
    imageEncoder: transformer.imageDim === null ? undefined : await readImageEncoder(directory),
    scheduler: await readScheduler(directory, options),
    sizeMultiple: [
      vae.scaleFactorSpatial * transformer.patchSize[1],
      vae.scaleFactorSpatial * transformer.patchSize[2],
    ],
  };
  checkParts(checkpoint);
  return checkpoint;
}

async function read<T>(part: ModelComponent, parse: (json: unknown, file: string) => T): Promise<T> {
  const { json, file } = await part.config();
  return parse(json, file);
}

/** Two transformers and the boundary between them come together or not at all. */
async function readLowNoiseExpert(directory: ModelDirectory): Promise<LowNoiseExpertConfig | undefined> {
  const { boundaryRatio } = directory.index;
  const part = directory.components.get("transformer2");
  if (!part && boundaryRatio === null) return undefined;
  if (!part) {
    throw new CheckpointError(
      indexFile(directory),
      `transformer_2, as boundary_ratio is ${boundaryRatio}`,
      "none",
    );
  }
  if (boundaryRatio === null) {
    throw new CheckpointError(indexFile(directory), "boundary_ratio, as there is a transformer_2", "none");
  }
  return { transformer: await read(part, parseTransformerConfig), boundaryRatio };
}

async function readImageEncoder(directory: ModelDirectory): Promise<ImageEncoderConfig> {
  return {
    encoder: await read(directory.component("imageEncoder"), parseClipVisionConfig),
    preprocessor: await read(directory.component("imageProcessor"), parseClipPreprocessorConfig),
  };
}

function readScheduler(directory: ModelDirectory, { scheduler, flowShift }: OpenOptions): Promise<Scheduler> {
  return read(directory.component("scheduler"), (json, source) =>
    createScheduler(json, {
      source,
      ...(scheduler === undefined ? {} : { kind: scheduler }),
      ...(flowShift === undefined ? {} : { flowShift }),
    }),
  );
}

function indexFile(directory: ModelDirectory): string {
  return `${directory.path}/model_index.json`;
}
