import { type Device, type DType, dtypeSize } from "@wan-ts/tensor";
import { checkGenerateOptions } from "../check-generate-options.ts";
import type { RunSizes } from "../check-options.ts";
import type { WanCheckpoint } from "../checkpoint.ts";
import { InsufficientMemoryError } from "./insufficient-memory-error.ts";
import { kernelScratch } from "./kernel-scratch.ts";
import type { Machine, MachineSpeed } from "./machine.ts";
import { type OperationKind, operationCost, operationKinds } from "./operation-cost.ts";
import { operationSeconds } from "./operation-seconds.ts";
import { type RehearsedPart, type RehearsedStage, type RunOptions, rehearseRun } from "./rehearse-run.ts";

/** What a stage of a run would take. */
export interface StagePlan {
  /** `load` is everything before the first stage. */
  readonly stage: RehearsedStage["stage"];
  /** The most bytes of tensors held at once; mapped weights don't count. */
  readonly peakTensorBytes: number;
  /** Bytes of mapped weights touched until its end, and mapped still. */
  readonly mappedBytes: number;
  /** The most bytes that kernels work in beside tensors. */
  readonly scratchBytes: number;
  /** The most bytes of tensors on the CUDA device at once; 0 where the run computes on the processor. */
  readonly peakDeviceBytes: number;
  /** Bytes of frames in JavaScript's memory. */
  readonly frameBytes: number;
  /** The most that the process holds in memory, all in all: what the system calls its resident set. */
  readonly peakResidentBytes: number;
  /**
   * The same without the pages of weights that only earlier stages read: the system takes those back
   * where memory is short.
   */
  readonly neededBytes: number;
  /** Floating-point operations by kind; a product and a sum count as two. */
  readonly flops: Readonly<Record<OperationKind, number>>;
  /** Where the machine's speed is known. */
  readonly seconds: number | undefined;
}

/** What a run would take, told before anything of it is loaded. */
export interface RunPlan {
  readonly sizes: RunSizes;
  /** Tokens of a sample that the transformer works on. */
  readonly tokens: number;
  readonly dtype: DType;
  readonly parts: readonly RehearsedPart[];
  readonly stages: readonly StagePlan[];
  /** What the process held in memory when the plan was made: the runtime, code and configs. */
  readonly processBytes: number;
  /** The most that the process holds in memory: what the system will tell as its greatest resident set. */
  readonly peakResidentBytes: number;
  /** The most that the process must hold in memory; see {@link StagePlan.neededBytes}. */
  readonly neededBytes: number;
  /** What the machine had left when the plan was made, with what the process held already. */
  readonly availableBytes: number;
  /** Where the run computes. */
  readonly device: Device;
  /** The most bytes of tensors on the CUDA device at once, without what driver and libraries take there. */
  readonly peakDeviceBytes: number;
  /** What the CUDA device can give, where that is known. */
  readonly deviceAvailableBytes: number | undefined;
  readonly flops: number;
  /** Where the machine's speed is known. */
  readonly seconds: number | undefined;
}

/**
 * Plans a run from configs and the headers of weights: the run's own code is gone through without
 * values ({@link rehearseRun}), so what it holds and computes is counted, not modelled. Only what the
 * operations take beside their operands is: the kernels' own memory, and their speed.
 *
 * @throws {InsufficientMemoryError} for a run so large that going through it would take too much itself;
 * whatever opening, loading and checking the run would throw.
 */
export async function planRun(
  checkpoint: WanCheckpoint,
  run: RunOptions,
  machine: Machine,
): Promise<RunPlan> {
  const least = leastBytes(checkpoint, run);
  if (least > machine.availableBytes) throw new InsufficientMemoryError(least, machine.availableBytes);
  const { sizes, parts, stages: rehearsed } = await rehearseRun(checkpoint, run);
  const processBytes = process.memoryUsage.rss();
  const frameBytes = bytesOfFrames(sizes, run.generate.outputType ?? "np");
  const stages: StagePlan[] = [];
  const onProcessor = (run.load?.device ?? "cpu") === "cpu";
  // What is measured is the processor's; no speed of a CUDA device is known before it has run.
  const speed = onProcessor ? machine.speed : undefined;
  for (const stage of rehearsed) {
    const scratch = onProcessor ? scratchOf(stage, machine) : 0;
    const scratchBytes = Math.max(stages.at(-1)?.scratchBytes ?? 0, scratch);
    const held = {
      scratchBytes,
      frameBytes: stage.stage === "decode" ? frameBytes : 0,
      processBytes,
      earlierMappedBytes: stages.at(-1)?.mappedBytes ?? 0,
    };
    stages.push(planStage(stage, held, speed));
  }
  return {
    sizes,
    tokens: tokensOf(checkpoint, sizes),
    dtype: dtypeOf(run.load),
    parts,
    stages,
    processBytes,
    peakResidentBytes: Math.max(...stages.map((stage) => stage.peakResidentBytes)),
    neededBytes: Math.max(...stages.map((stage) => stage.neededBytes)),
    availableBytes: machine.availableBytes + processBytes,
    device: run.load?.device ?? "cpu",
    peakDeviceBytes: Math.max(...stages.map((stage) => stage.peakDeviceBytes)),
    deviceAvailableBytes: machine.deviceAvailableBytes,
    flops: sum(stages.flatMap(({ flops }) => operationKinds.map((kind) => flops[kind]))),
    seconds: speed && sum(stages.map((stage) => stage.seconds ?? 0)),
  };
}

function planStage(
  { stage, rehearsed }: RehearsedStage,
  held: Pick<StagePlan, "scratchBytes" | "frameBytes"> & {
    readonly processBytes: number;
    readonly earlierMappedBytes: number;
  },
  speed: MachineSpeed | undefined,
): StagePlan {
  const flops: Record<OperationKind, number> = { linear: 0, attention: 0, conv3d: 0, other: 0 };
  for (const operation of rehearsed.operations) {
    const cost = operationCost(operation);
    flops[cost.kind] += operation.count * cost.flops;
  }
  const { scratchBytes, frameBytes, processBytes, earlierMappedBytes } = held;
  const peakResidentBytes = processBytes + rehearsed.peakResidentBytes + scratchBytes + frameBytes;
  return {
    stage,
    peakTensorBytes: rehearsed.peakAllocatedBytes,
    mappedBytes: rehearsed.mappedBytes,
    peakDeviceBytes: rehearsed.peakDeviceBytes,
    scratchBytes,
    frameBytes,
    peakResidentBytes,
    neededBytes: peakResidentBytes - earlierMappedBytes,
    flops,
    seconds: speed && sum(rehearsed.operations.map((operation) => operationSeconds(operation, speed))),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Bytes that a run takes whatever else it does: frames, and what the transformer works on. */
function leastBytes(checkpoint: WanCheckpoint, { load, generate }: RunOptions): number {
  const sizes = checkGenerateOptions(checkpoint, generate, load?.task);
  const { numAttentionHeads, attentionHeadDim } = checkpoint.transformer;
  const hiddenStates =
    sizes.batch *
    tokensOf(checkpoint, sizes) *
    numAttentionHeads *
    attentionHeadDim *
    dtypeSize(dtypeOf(load));
  return bytesOfFrames(sizes, generate.outputType ?? "np") + hiddenStates;
}

function dtypeOf(load: RunOptions["load"]): DType {
  return load?.dtype ?? "bfloat16";
}

function tokensOf(
  { transformer }: WanCheckpoint,
  { latentFrames, latentHeight, latentWidth }: RunSizes,
): number {
  const [patchFrames, patchHeight, patchWidth] = transformer.patchSize;
  return (latentFrames / patchFrames) * (latentHeight / patchHeight) * (latentWidth / patchWidth);
}

/** The allocator keeps what the largest operation so far worked in, for the next. */
function scratchOf({ rehearsed }: RehearsedStage, machine: Machine): number {
  return rehearsed.operations.reduce(
    (most, operation) => Math.max(most, kernelScratch(operation, machine)),
    0,
  );
}

/** Bytes of decoded frames, (F, H, W, 3) of each video, and of the chunks they are read in. */
function bytesOfFrames(
  { batch, numFrames, height, width }: RunSizes,
  outputType: NonNullable<RunOptions["generate"]["outputType"]>,
): number {
  const values = batch * numFrames * height * width * 3;
  switch (outputType) {
    case "np":
      return values * Float32Array.BYTES_PER_ELEMENT;
    case "pil":
      return values;
    case "pt":
      // Tensors: all chunks, and the whole.
      return 2 * values * Float32Array.BYTES_PER_ELEMENT;
    case "latent":
      return 0;
  }
}
