import { nf4 } from "@wan-ts/quantization";
import type { DType } from "@wan-ts/tensor";
import { checkGenerateOptions } from "../check-generate-options.ts";
import type { WanCheckpoint } from "../checkpoint.ts";
import { InsufficientMemoryError } from "./insufficient-memory-error.ts";
import type { Machine } from "./machine.ts";
import type { RunOptions } from "./rehearse-run.ts";
import { planRun, type RunPlan } from "./run-plan.ts";

/** What may be changed of a run, so that it takes less memory. */
export interface RunChange {
  readonly cpuOffload?: true | "block";
  readonly vaeTiling?: true;
  readonly dtype?: DType;
  readonly quantization?: "nf4";
  readonly numFrames?: number;
  readonly height?: number;
  readonly width?: number;
}

/** A changed run that fits into memory. */
export interface FittingRun {
  readonly change: RunChange;
  readonly plan: RunPlan;
}

/** Whether a run's memory can be had, that of its CUDA device as well. */
export function fitsMemory(plan: RunPlan): boolean {
  const { deviceAvailableBytes = Number.POSITIVE_INFINITY } = plan;
  return plan.neededBytes <= plan.availableBytes && plan.peakDeviceBytes <= deviceAvailableBytes;
}

/** How often frames, or the area, are halved in search of a run that fits. */
const mostHalvings = 4;

/**
 * Changes of a run that don't fit into memory, each with which it would: first those that change no
 * pixel, then others, and all together where none is enough by itself.
 */
export async function whatWouldFit(
  checkpoint: WanCheckpoint,
  run: RunOptions,
  machine: Machine,
): Promise<readonly FittingRun[]> {
  const firstFitting = async (changes: readonly RunChange[]): Promise<FittingRun[]> => {
    for (const change of changes) {
      const plan = await planOrNone(checkpoint, changed(run, change), machine);
      if (plan && fitsMemory(plan)) return [{ change, plan }];
    }
    return [];
  };
  const settings = settingsToTry(checkpoint, run);
  /** All of them, each as far as it goes. */
  const all = settings.flatMap((steps) => steps.slice(-1));
  const sizes = [fewerFrames(checkpoint, run), smallerSizes(checkpoint, run)];
  const alone: FittingRun[] = [];
  for (const changes of [...settings, ...sizes]) {
    alone.push(...(await firstFitting(changes)));
  }
  if (alone.length > 0 || settings.length === 0) return alone;
  const together = Object.assign({}, ...all) as RunChange;
  return firstFitting([together, ...sizes.flat().map((change) => ({ ...together, ...change }))]);
}

async function planOrNone(
  checkpoint: WanCheckpoint,
  run: RunOptions,
  machine: Machine,
): Promise<RunPlan | undefined> {
  try {
    return await planRun(checkpoint, run, machine);
  } catch (error) {
    if (error instanceof InsufficientMemoryError) return undefined;
    throw error;
  }
}

/** Settings that take less, each with what goes further where it isn't enough. */
function settingsToTry(checkpoint: WanCheckpoint, { load, vaeTiling }: RunOptions): RunChange[][] {
  const changes: RunChange[][] = [];
  const onProcessor = (load?.device ?? "cpu") === "cpu";
  const offloads: RunChange[] = [
    ...(load?.cpuOffload ? [] : [{ cpuOffload: true } as const]),
    ...(onProcessor || load?.cpuOffload === "block" ? [] : [{ cpuOffload: "block" } as const]),
  ];
  if (offloads.length > 0) changes.push(offloads);
  if (!vaeTiling) changes.push([{ vaeTiling: true }]);
  if (load?.dtype === "float32") changes.push([{ dtype: "bfloat16" }]);
  // What is stored quantized stays as it is.
  const stored = checkpoint.transformer.quantization ?? checkpoint.textEncoder.quantization;
  if (!load?.quantization && !stored) changes.push([{ quantization: "nf4" }]);
  return changes;
}

function fewerFrames(checkpoint: WanCheckpoint, run: RunOptions): RunChange[] {
  const { numFrames } = checkGenerateOptions(checkpoint, run.generate, run.load?.task);
  const factor = checkpoint.vae.scaleFactorTemporal;
  const groups = (numFrames - 1) / factor;
  const halved = halvings.map((share) => Math.floor(groups * share) * factor + 1);
  return [...new Set(halved)].filter((count) => count < numFrames).map((count) => ({ numFrames: count }));
}

function smallerSizes(checkpoint: WanCheckpoint, run: RunOptions): RunChange[] {
  const { height, width } = checkGenerateOptions(checkpoint, run.generate, run.load?.task);
  const [rows, columns] = checkpoint.sizeMultiple;
  const near = (value: number, multiple: number): number =>
    Math.max(multiple, Math.floor(value / multiple) * multiple);
  return halvings
    .map((share) => ({
      height: near(height * Math.sqrt(share), rows),
      width: near(width * Math.sqrt(share), columns),
    }))
    .filter((size) => size.height < height || size.width < width);
}

/** 1/2, 1/4, … */
const halvings: readonly number[] = Array.from({ length: mostHalvings }, (_, index) => 0.5 ** (index + 1));

function changed(run: RunOptions, change: RunChange): RunOptions {
  const { cpuOffload, vaeTiling, dtype, quantization, ...generate } = change;
  return {
    load: {
      ...run.load,
      ...(cpuOffload === undefined ? {} : { cpuOffload }),
      ...(dtype === undefined ? {} : { dtype }),
      ...(quantization === undefined ? {} : { quantization: nf4() }),
    },
    generate: { ...run.generate, ...generate },
    vaeTiling: vaeTiling ?? run.vaeTiling ?? false,
  };
}
