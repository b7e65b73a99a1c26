import type { Ranks } from "@wan-ts/distributed";
import { loadImage, type RgbImage } from "@wan-ts/media";
import {
  availableInstructionSets,
  type Device,
  type DType,
  Generator,
  instructionSet,
  setInstructionSet,
  setThreads,
  threads as threadsAtHand,
} from "@wan-ts/tensor";
import {
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
import { chooseParallelism, type Parallelism } from "../ranks/choose-parallelism.ts";
import { readCheckpointDefaults } from "./checkpoint-defaults.ts";
import { chooseDevice } from "./device.ts";
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
  /** What `--device` says. */
  readonly deviceName: string | undefined;
  readonly vaeTiling: boolean;
  readonly parallel: Parallelism;
  readonly options: GenerateOptions;
  readonly seed: number;
  readonly images: Images;
  /** What this process writes; undefined on ranks other than 0, whose machines may have no such folders. */
  readonly outputs: Outputs | undefined;
  /** Whether the run is traced, on all ranks. */
  readonly isTraced: boolean;
  readonly fps: number;
  readonly quiet: boolean;
  readonly json: boolean;
  readonly logRanks: boolean;
}

/** The run that a process is one of, or plans. */
export interface JoinedRun {
  readonly size: number;
  readonly ranks?: Ranks | undefined;
  /** This rank's share of the cores. */
  readonly threads: number;
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

/** Of the random numbers, where nobody says. */
const defaultSeed = 42;
const defaultGuidanceScale = 5;

/**
 * Reads and checks what flags, config file and the checkpoint's defaults ask for, and sets the
 * machine to it: threads and instruction set.
 *
 * @param joined absent in a process that starts ranks itself, or needs none.
 * @param purpose a run that is only planned may be for a device that this machine hasn't got.
 * @throws {InputError} and the refusals of the packages.
 */
export async function prepareJob(
  configFile: string | undefined,
  flags: Config,
  joined?: JoinedRun,
  purpose: "run" | "planned" = "run",
): Promise<Job> {
  const said = mergeConfigs(await readConfig(configFile), flags);
  const { backend } = said.attention ?? {};
  const attention = defaultAttentionRegistry();
  if (backend !== undefined) attention.get(backend);
  const nproc = said.parallel?.nproc ?? 1;
  setMachine(said, joined?.threads ?? Math.max(1, Math.floor(threadsAtHand() / nproc)));
  const device = chooseDevice(said.device, { localRank: joined?.ranks?.localRank ?? 0, purpose });
  if (said.cpuOffload === "block" && device === "cpu") {
    throw new InputError("--cpu-offload-blocks needs a CUDA device, but this is for cpu; use --cpu-offload");
  }
  const checkpoint = await openCheckpoint(said.model ?? embeddedModel, {
    scheduler: said.scheduler,
    flowShift: said.flowShift,
  });
  const config = mergeConfigs(await readCheckpointDefaults(checkpoint.path), said);
  const writes = (joined?.ranks?.rank ?? 0) === 0;
  const outputs = writes ? await checkOutputs(config.output) : undefined;
  const task = chooseTask(checkpoint, config);
  namingFlags(() => checkInputs(checkpoint, task, config));
  const parallel = chooseParallelism(config.parallel ?? {}, {
    startedRanks: joined?.size,
    heads: checkpoint.transformer.numAttentionHeads,
    guidanceScale: config.guidanceScale ?? defaultGuidanceScale,
  });
  const images = await readImages(config);
  const options = generateOptions(config, checkpoint, images.image);
  namingFlags(() => checkGenerateOptions(checkpoint, { ...options, ...images }, task));
  return {
    checkpoint,
    load: {
      task,
      dtype: config.dtype ?? fastestDType(device),
      device,
      attention,
      attentionBackend: backend,
      cpuOffload: config.cpuOffload,
      quantization: config.quantization && quantizations[config.quantization](),
      parallelTextEncoder: config.parallel?.textEncoder,
      ...(joined?.ranks ? { ranks: joined.ranks, parallel: parallel.degrees } : {}),
    },
    deviceName: said.device,
    vaeTiling: config.vaeTiling ?? false,
    parallel,
    options,
    seed: config.seed ?? defaultSeed,
    images,
    outputs,
    isTraced: config.output?.trace !== undefined,
    fps: config.fps ?? 16,
    quiet: config.output?.quiet ?? false,
    json: config.output?.json ?? false,
    logRanks: config.output?.logRanks ?? false,
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

function setMachine({ threads, instructionSet: wanted }: Config, share: number): void {
  setThreads(threads ?? share);
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
    guidanceScale: config.guidanceScale ?? defaultGuidanceScale,
    ...(config.guidanceScale2 === undefined ? {} : { guidanceScale2: config.guidanceScale2 }),
    generator: new Generator(config.seed ?? defaultSeed),
  };
}

/** bfloat16 where the device multiplies it, else float32. */
function fastestDType(device: Device): DType {
  if (device !== "cpu") return "bfloat16";
  return instructionSet() === "avx512bf16" ? "bfloat16" : "float32";
}
