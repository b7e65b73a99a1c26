import { loadImage, type RgbImage } from "@wan-ts/media";
import {
  availableInstructionSets,
  type DType,
  Generator,
  instructionSet,
  setInstructionSet,
  setThreads,
} from "@wan-ts/tensor";
import {
  type ContextParallelOptions,
  checkGenerateOptions,
  checkInputs,
  chooseTask,
  defaultAttentionRegistry,
  type GenerateOptions,
  int8,
  type LoadPipelineOptions,
  nf4,
  openCheckpoint,
  PipelineInputError,
  type WanCheckpoint,
} from "@wan-ts/wan";
import { mergeConfigs } from "../config/merge.ts";
import { readConfig } from "../config/read.ts";
import type { Config } from "../config/schema.ts";
import { InputError } from "../input-error.ts";
import { readCheckpointDefaults } from "./checkpoint-defaults.ts";
import { embeddedModel } from "./embedded-model.ts";
import { checkOutputs, type Outputs } from "./outputs.ts";
import { sizeOf } from "./size.ts";

/** The frames that a run is given. */
export interface Images {
  readonly image?: RgbImage;
  readonly lastImage?: RgbImage;
}

/** What a run will do: everything is checked that can be without weights. */
export interface Job {
  readonly checkpoint: WanCheckpoint;
  readonly load: LoadPipelineOptions;
  readonly vaeTiling: boolean;
  /** Ranks to start on this machine, and how the models are split over the ranks of a run. */
  readonly parallel: { readonly nproc: number; readonly degrees: ContextParallelOptions };
  readonly options: GenerateOptions;
  readonly images: Images;
  readonly outputs: Outputs;
  readonly fps: number;
  readonly quiet: boolean;
  readonly json: boolean;
}

const quantizations = { nf4, int8 } as const;

/** Flags of the options of a pipeline, for messages. */
const flagOfOption: Readonly<Record<string, string>> = {
  height: "--height",
  width: "--width",
  numFrames: "--frames",
  numInferenceSteps: "--steps",
  guidanceScale: "--guidance-scale",
  guidanceScale2: "--guidance-scale-2",
  image: "--image",
  lastImage: "--last-image",
};

/**
 * Reads and checks what flags, config file and the checkpoint's defaults ask for, and sets the
 * machine to it: threads and instruction set.
 *
 * @throws {InputError} and the refusals of the packages.
 */
export async function prepareJob(configFile: string | undefined, flags: Config): Promise<Job> {
  const said = mergeConfigs(await readConfig(configFile), flags);
  const { backend } = said.attention ?? {};
  const attention = defaultAttentionRegistry();
  if (backend !== undefined) attention.get(backend);
  setMachine(said);
  const checkpoint = await openCheckpoint(said.model ?? embeddedModel, {
    scheduler: said.scheduler,
    flowShift: said.flowShift,
  });
  const config = mergeConfigs(await readCheckpointDefaults(checkpoint.path), said);
  const outputs = await checkOutputs(config.output);
  const task = chooseTask(checkpoint, config);
  namingFlags(() => checkInputs(checkpoint, task, config));
  const images = await readImages(config);
  const options = generateOptions(config, checkpoint, images.image);
  namingFlags(() => checkGenerateOptions(checkpoint, { ...options, ...images }, task));
  return {
    checkpoint,
    load: {
      task,
      dtype: config.dtype ?? fastestDType(),
      attention,
      attentionBackend: backend,
      cpuOffload: config.cpuOffload,
      quantization: config.quantization && quantizations[config.quantization](),
    },
    vaeTiling: config.vaeTiling ?? false,
    parallel: {
      nproc: config.parallel?.nproc ?? 1,
      degrees: {
        ulyssesDegree: config.parallel?.ulysses,
        ringDegree: config.parallel?.ring,
        cfgParallel: config.parallel?.cfg ?? false,
      },
    },
    options,
    images,
    outputs,
    fps: config.fps ?? 16,
    quiet: config.output?.quiet ?? false,
    json: config.output?.json ?? false,
  };
}

/** Runs a check of the library, whose message then names the flag rather than the option. */
function namingFlags(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!PipelineInputError.isInstance(error)) throw error;
    const name = flagOfOption[error.option] ?? error.option;
    throw new InputError(`${name} must be ${error.expected}, but is ${error.found}`, { cause: error });
  }
}

function setMachine({ threads, instructionSet: wanted }: Config): void {
  if (threads !== undefined) setThreads(threads);
  if (wanted === undefined) return;
  const available = availableInstructionSets();
  if (!available.includes(wanted)) {
    throw new InputError(`--instruction-set: this machine has no ${wanted}, but ${available.join(", ")}`);
  }
  setInstructionSet(wanted);
}

async function readImages({ image, lastImage }: Config): Promise<Images> {
  return {
    ...(image === undefined ? {} : { image: await loadImage(image) }),
    ...(lastImage === undefined ? {} : { lastImage: await loadImage(lastImage) }),
  };
}

function generateOptions(
  config: Config,
  checkpoint: WanCheckpoint,
  image: RgbImage | undefined,
): GenerateOptions {
  if (config.prompt === undefined) {
    throw new InputError("--prompt is needed: there is none in the config or beside the checkpoint");
  }
  return {
    prompt: config.prompt,
    negativePrompt: config.negativePrompt ?? "",
    ...sizeOf(config, checkpoint.sizeMultiple, image),
    numFrames: config.frames ?? 81,
    numInferenceSteps: config.steps ?? 16,
    guidanceScale: config.guidanceScale ?? 5,
    ...(config.guidanceScale2 === undefined ? {} : { guidanceScale2: config.guidanceScale2 }),
    generator: new Generator(config.seed ?? 42),
  };
}

/** bfloat16 where the processor multiplies it, else float32. */
function fastestDType(): DType {
  return instructionSet() === "avx512bf16" ? "bfloat16" : "float32";
}
