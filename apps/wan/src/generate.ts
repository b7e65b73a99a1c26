import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { saveTensors } from "@wan-ts/hub";
import {
  checkOutputPath,
  exportPng,
  exportToGif,
  exportToPngs,
  exportToVideo,
  fitSize,
  loadImage,
  type RgbImage,
} from "@wan-ts/media";
import { type DType, Generator, instructionSet, memory, setThreads, Tensor } from "@wan-ts/tensor";
import {
  checkInputs,
  chooseTask,
  defaultAttentionRegistry,
  type GenerateOptions,
  type GenerateResult,
  type ImageToVideoOptions,
  loadPipeline,
  openCheckpoint,
  PipelineInputError,
  type StageEvent,
  type WanCheckpoint,
} from "@wan-ts/wan";
import { mergeConfigs } from "./config/merge.ts";
import { readConfig } from "./config/read.ts";
import type { Config } from "./config/schema.ts";
import { embeddedModel, readDefaults } from "./embedded-model.ts";
import { flagOf } from "./flags.ts";
import { InputError } from "./input-error.ts";
import { formatSeconds, Progress } from "./progress.ts";

/** The largest area that a size taken from an image's aspect has: 480p, as Wan's examples use. */
const defaultArea = 480 * 832;

/** Makes a video as flags, config file and the checkpoint's defaults say. */
export async function generate(
  configFile: string | undefined,
  flags: Config,
  signal: AbortSignal,
): Promise<void> {
  const started = performance.now();
  const said = mergeConfigs(await readConfig(configFile), flags);
  const model = said.model ?? embeddedModel;
  const registry = defaultAttentionRegistry();
  if (said.attention?.backend !== undefined) registry.get(said.attention.backend);
  const checkpoint = await openCheckpoint(model, {
    ...(said.scheduler === undefined ? {} : { scheduler: said.scheduler }),
    ...(said.flowShift === undefined ? {} : { flowShift: said.flowShift }),
  });
  const config = mergeConfigs(await readDefaults(checkpoint.path), said);
  const outputs = await checkOutputs(config);
  const task = chooseTask(checkpoint, config);
  refuseInputs(() => checkInputs(checkpoint, task, config));
  const images = await readImages(config);
  const options = generateOptions(config, checkpoint, images.image);
  if (config.threads !== undefined) setThreads(config.threads);

  const progress = new Progress(process.stderr, config.output?.quiet ?? false);
  const stages: StageEvent[] = [];
  const loadStarted = performance.now();
  const load = {
    dtype: config.dtype ?? fastestDType(),
    attention: registry,
    ...(config.attention?.backend === undefined ? {} : { attentionBackend: config.attention.backend }),
    cpuOffload: config.cpuOffload,
    task,
  };
  const run: GenerateOptions = {
    ...options,
    signal,
    onStageStart: (stage) => progress.stageStarted(stage),
    onStageEnd: (event) => {
      stages.push(event);
    },
    callbackOnStepEnd: (event) => progress.step(event),
  };
  using pipeline = await loadPipeline(checkpoint, load);
  const loadSeconds = (performance.now() - loadStarted) / 1000;
  using result =
    pipeline.task === "imageToVideo"
      ? // There is an image: the check of inputs refuses a run without.
        await pipeline.generate({ ...run, ...images, image: images.image as RgbImage })
      : await pipeline.generate(run);

  const writeStarted = performance.now();
  await writeOutputs(outputs, result, config.fps ?? 16);
  progress.finish();
  const seconds = (performance.now() - started) / 1000;
  progress.line(
    `${outputs.file}: ${result.frames.numFrames} frames of ${result.frames.width}×${result.frames.height}, ${formatSeconds(seconds)}`,
  );
  if (config.output?.json) {
    const report = {
      output: resolve(outputs.file),
      frames: result.frames.numFrames,
      height: result.frames.height,
      width: result.frames.width,
      seconds: {
        total: seconds,
        load: loadSeconds,
        ...Object.fromEntries(stages.map((event) => [event.stage, event.seconds])),
        write: (performance.now() - writeStarted) / 1000,
      },
      peakTensorBytes: Object.fromEntries(stages.map((event) => [event.stage, event.peakBytes])),
      ranks: [
        {
          rank: 0,
          peakResidentBytes: process.resourceUsage().maxRSS * 1024,
          liveTensorBytes: memory().liveBytes,
        },
      ],
      collectives: {},
      attention: pipeline.transformer.attentionBackend,
      dtype: pipeline.dtype,
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}

interface Outputs {
  readonly file: string;
  readonly saveLatents: string | undefined;
  readonly saveFrames: string | undefined;
}

async function checkOutputs(config: Config): Promise<Outputs> {
  const file = config.output?.file ?? "out.mp4";
  await checkOutputPath(file);
  const { saveLatents, saveFrames } = config.output ?? {};
  for (const [flag, extra] of Object.entries({
    "--save-latents": saveLatents,
    "--save-frames": saveFrames,
  })) {
    if (extra === undefined) continue;
    const folder = dirname(resolve(extra));
    const entry = await stat(folder).catch(() => undefined);
    if (!entry?.isDirectory()) throw new InputError(`${flag}: there is no folder ${folder}; make it first`);
  }
  return { file, saveLatents, saveFrames };
}

/** Runs a check of the library, whose message then names the flag rather than the option. */
function refuseInputs(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!PipelineInputError.isInstance(error)) throw error;
    const flag = flagOf([error.option])?.name ?? error.option;
    throw new InputError(`${flag} must be ${error.expected}, but is ${error.found}`);
  }
}

async function readImages(
  config: Config,
): Promise<Partial<Pick<ImageToVideoOptions, "image" | "lastImage">>> {
  return {
    ...(config.image === undefined ? {} : { image: await loadImage(config.image) }),
    ...(config.lastImage === undefined ? {} : { lastImage: await loadImage(config.lastImage) }),
  };
}

function generateOptions(
  config: Config,
  checkpoint: WanCheckpoint,
  image: RgbImage | undefined,
): GenerateOptions {
  if (config.prompt === undefined)
    throw new InputError("--prompt is needed: there is none in the config or beside the checkpoint");
  const { height, width } = sizeOf(config, checkpoint, image);
  const numFrames = config.frames ?? 81;
  requireMultiple("--height", height, checkpoint.sizeMultiple[0]);
  requireMultiple("--width", width, checkpoint.sizeMultiple[1]);
  const factor = checkpoint.vae.scaleFactorTemporal;
  if ((numFrames - 1) % factor !== 0) {
    const below = Math.floor((numFrames - 1) / factor) * factor + 1;
    throw new InputError(
      `--frames must be ${factor}k + 1, such as ${below} or ${below + factor}, but is ${numFrames}`,
    );
  }
  return {
    prompt: config.prompt,
    negativePrompt: config.negativePrompt ?? "",
    height,
    width,
    numFrames,
    numInferenceSteps: config.steps ?? 16,
    guidanceScale: config.guidanceScale ?? 5,
    ...(config.guidanceScale2 === undefined ? {} : { guidanceScale2: config.guidanceScale2 }),
    generator: new Generator(config.seed ?? 42),
  };
}

function sizeOf(
  config: Config,
  checkpoint: WanCheckpoint,
  image: RgbImage | undefined,
): { height: number; width: number } {
  const { height, width } = config;
  if (height !== undefined && width !== undefined) return { height, width };
  const multiple = Math.max(...checkpoint.sizeMultiple);
  const aspect = image ? image.height / image.width : 480 / 832;
  const near = (value: number): number => Math.max(multiple, Math.round(value / multiple) * multiple);
  if (height !== undefined) return { height, width: near(height / aspect) };
  if (width !== undefined) return { height: near(width * aspect), width };
  return image ? fitSize(image, defaultArea, multiple) : { height: 480, width: 832 };
}

function requireMultiple(flag: string, value: number, multiple: number): void {
  if (value % multiple === 0) return;
  const below = Math.floor(value / multiple) * multiple;
  const near = below > 0 ? `${below} or ${below + multiple}` : `${multiple}`;
  throw new InputError(`${flag} must be a multiple of ${multiple}, such as ${near}, but is ${value}`);
}

/** bfloat16 where the processor multiplies it, else float32. */
function fastestDType(): DType {
  return instructionSet() === "avx512bf16" ? "bfloat16" : "float32";
}

async function writeOutputs(outputs: Outputs, result: GenerateResult, fps: number): Promise<void> {
  const { frames, latents } = result;
  if (outputs.saveLatents !== undefined) await saveTensors(outputs.saveLatents, { latents });
  if (outputs.saveFrames !== undefined) {
    using whole = Tensor.from(frames.data, [frames.numFrames, frames.height, frames.width, 3]);
    await saveTensors(outputs.saveFrames, { frames: whole });
  }
  switch (await checkOutputPath(outputs.file)) {
    case "mp4":
      return exportToVideo(frames, outputs.file, { fps });
    case "gif":
      return exportToGif(frames, outputs.file, { fps });
    case "png":
      return exportPng(frames, 0, outputs.file);
    case "directory":
      return exportToPngs(frames, outputs.file);
  }
}
