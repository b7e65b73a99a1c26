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

/** A checkpoint whose configs are read and fit together; no weights are. */
export interface WanCheckpoint {
  /** The directory, as it was named or found. */
  readonly path: string;
  readonly task: Task;
  readonly directory: ModelDirectory;
  readonly transformer: TransformerConfig;
  readonly textEncoder: Umt5Config;
  readonly vae: VaeConfig;
  /** Present where the transformer attends to image tokens. */
  readonly imageEncoder: ImageEncoderConfig | undefined;
  readonly scheduler: Scheduler;
  /** Height and width are multiples of these. */
  readonly sizeMultiple: readonly [height: number, width: number];
}

const tasks: Readonly<Record<string, Task>> = {
  WanPipeline: "textToVideo",
  WanImageToVideoPipeline: "imageToVideo",
};

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
  const { className } = directory.index;
  const task = tasks[className];
  const indexFile = `${directory.path}/model_index.json`;
  if (task === undefined) {
    throw new CheckpointError(indexFile, `_class_name ${Object.keys(tasks).join(" or ")}`, className);
  }
  refuseWan22(directory, indexFile);
  const read = async <T>(part: ModelComponent, parse: (json: unknown, file: string) => T): Promise<T> => {
    const { json, file } = await part.config();
    return parse(json, file);
  };
  const transformer = await read(directory.component("transformer"), parseTransformerConfig);
  const textEncoder = await read(directory.component("textEncoder"), parseUmt5Config);
  const vae = await read(directory.component("vae"), parseVaeConfig);
  const imageEncoder =
    transformer.imageDim === null
      ? undefined
      : {
          encoder: await read(directory.component("imageEncoder"), parseClipVisionConfig),
          preprocessor: await read(directory.component("imageProcessor"), parseClipPreprocessorConfig),
        };
  const scheduler = await read(directory.component("scheduler"), (json, source) =>
    createScheduler(json, {
      source,
      ...(options.scheduler === undefined ? {} : { kind: options.scheduler }),
      ...(options.flowShift === undefined ? {} : { flowShift: options.flowShift }),
    }),
  );
  const checkpoint: WanCheckpoint = {
    path: directory.path,
    task,
    directory,
    transformer,
    textEncoder,
    vae,
    imageEncoder,
    scheduler,
    sizeMultiple: [
      vae.scaleFactorSpatial * transformer.patchSize[1],
      vae.scaleFactorSpatial * transformer.patchSize[2],
    ],
  };
  checkParts(checkpoint);
  return checkpoint;
}

function refuseWan22({ index, path }: ModelDirectory, file: string): void {
  const wan21 = "a Wan 2.1 checkpoint: Wan 2.2 is not available in this version of wan-ts";
  if (index.boundaryRatio !== null)
    throw new CheckpointError(file, wan21, `boundary_ratio ${index.boundaryRatio}`);
  if (index.expandTimesteps) throw new CheckpointError(file, wan21, "expand_timesteps true");
  if (index.components.has("transformer2")) throw new CheckpointError(path, wan21, "a second transformer");
}

/** Refuses parts whose widths don't meet: each is right by itself, and the first product would fail. */
function checkParts({ directory, task, transformer, textEncoder, vae, imageEncoder }: WanCheckpoint): void {
  const file = directory.component("transformer").folder;
  const expect = (key: string, found: number | null, expected: number | null, reason: string): void => {
    if (found !== expected) throw new CheckpointError(file, `${key} ${expected}, ${reason}`, `${found}`);
  };
  expect("out_channels", transformer.outChannels, vae.zDim, "the VAE's z_dim");
  expect("text_dim", transformer.textDim, textEncoder.dModel, "the text encoder's d_model");
  if (task === "textToVideo") {
    expect("in_channels", transformer.inChannels, vae.zDim, "the VAE's z_dim");
    expect("image_dim", transformer.imageDim, null, "as text to video has no image");
    return;
  }
  expect(
    "in_channels",
    transformer.inChannels,
    2 * vae.zDim + vae.scaleFactorTemporal,
    "latents, mask and condition",
  );
  if (imageEncoder)
    expect(
      "image_dim",
      transformer.imageDim,
      imageEncoder.encoder.hiddenSize,
      "the image encoder's hidden_size",
    );
  if (transformer.posEmbedSeqLen !== null) {
    throw new CheckpointError(
      file,
      "pos_embed_seq_len null: first and last frame is not available in this version of wan-ts",
      `${transformer.posEmbedSeqLen}`,
    );
  }
}
