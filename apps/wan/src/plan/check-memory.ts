import { plannedRanks } from "@wan-ts/distributed";
import {
  describeMachine,
  type FittingRun,
  fitsMemory,
  InsufficientMemoryError,
  type Machine,
  planRun,
  type RunChange,
  type RunOptions,
  type RunPlan,
  whatWouldFit,
} from "@wan-ts/wan";
import { freeDeviceBytes, ranksOnDevice } from "../generate/device.ts";
import type { Job } from "../generate/job.ts";
import { InputError } from "../input-error.ts";
import { formatBytes } from "./plan-table.ts";

/**
 * Makes sure that a job fits into memory, before any of its weights is read.
 *
 * @param ranksHere ranks that are to run on this machine.
 * @throws {InputError} that says what would make it fit.
 */
export async function checkMemory(job: Job, ranksHere: number): Promise<void> {
  const { ranks, degrees } = job.parallel;
  const machine = { ...(await describeMachine()), deviceAvailableBytes: freeDeviceBytes(job.load.device) };
  // Of rank 0 alone, as none has more to do.
  const load = { ...job.load, ranks: plannedRanks({ rank: 0, worldSize: ranks }), parallel: degrees };
  const { plan, refusal } = await planJob(ranks > 1 ? { ...job, load } : job, machine);
  if (refusal !== undefined) throw new InputError(refusal);
  const needed = plan ? bytesOfRanks(plan, ranksHere) : 0;
  const sharing = ranksOnDevice(job.deviceName, ranksHere);
  const { peakDeviceBytes = 0, deviceAvailableBytes = Number.POSITIVE_INFINITY } = plan ?? {};
  if (sharing * peakDeviceBytes > deviceAvailableBytes) {
    throw new InputError(
      `${sharing} ranks take ${formatBytes(sharing * peakDeviceBytes)} of memory of ${job.load.device} together, but ${formatBytes(deviceAvailableBytes)} can be had; fewer of them take less`,
    );
  }
  if (plan && needed > plan.availableBytes) {
    throw new InputError(
      `${ranksHere} ranks take ${formatBytes(needed)} of memory together, but ${formatBytes(plan.availableBytes)} can be had; fewer of them take less`,
    );
  }
}

/** What ranks of one machine must hold together: they share the pages of mapped weights. */
function bytesOfRanks({ stages, neededBytes, processBytes }: RunPlan, ranks: number): number {
  const own = stages.map((stage) => stage.peakTensorBytes + stage.scratchBytes + stage.frameBytes);
  return neededBytes + (ranks - 1) * (processBytes + Math.max(...own));
}

/**
 * What a job would take, where that can be told, and why it can't be done in the memory that there is,
 * where it can't.
 */
export async function planJob(
  job: Job,
  machine: Machine,
): Promise<
  | { readonly plan: RunPlan; readonly refusal: string | undefined }
  | { readonly plan: undefined; readonly refusal: string }
> {
  try {
    const plan = await planRun(job.checkpoint, runOptions(job), machine);
    if (fitsMemory(plan)) return { plan, refusal: undefined };
    const { need, availableBytes } = shortageOf(plan);
    return { plan, refusal: await withAdvice(need, availableBytes, job, machine) };
  } catch (error) {
    if (!(error instanceof InsufficientMemoryError)) throw error;
    const need = `this takes at least ${formatBytes(error.neededBytes)} of memory`;
    return { plan: undefined, refusal: await withAdvice(need, error.availableBytes, job, machine) };
  }
}

/** What a plan takes more of than can be had. */
function shortageOf(plan: RunPlan): { readonly need: string; readonly availableBytes: number } {
  const { neededBytes, availableBytes, peakDeviceBytes, deviceAvailableBytes = 0 } = plan;
  if (neededBytes > availableBytes) {
    const worst = plan.stages.find((stage) => stage.neededBytes === neededBytes);
    const need = `this takes ${formatBytes(neededBytes)} of memory (in ${worst?.stage ?? "all"})`;
    return { need, availableBytes };
  }
  const worst = plan.stages.find((stage) => stage.peakDeviceBytes === peakDeviceBytes);
  const need = `this takes ${formatBytes(peakDeviceBytes)} of memory of ${plan.device} (in ${worst?.stage ?? "all"})`;
  return { need, availableBytes: deviceAvailableBytes };
}

async function withAdvice(need: string, availableBytes: number, job: Job, machine: Machine): Promise<string> {
  const fitting = await whatWouldFit(job.checkpoint, runOptions(job), machine);
  const advice =
    fitting.length === 0
      ? "a much smaller video or a machine with more memory is needed"
      : `what would fit: ${fitting.map(describeFit).join(", or ")}`;
  return `${need}, but ${formatBytes(availableBytes)} can be had; ${advice}`;
}

/** What to plan of a job. */
export function runOptions({ load, options, images, vaeTiling }: Job): RunOptions {
  return { load, generate: { ...options, ...images }, vaeTiling };
}

function describeFit({ change, plan }: FittingRun): string {
  return `${flagsOf(change).join(" ")} (${formatBytes(plan.device === "cpu" ? plan.neededBytes : plan.peakDeviceBytes)})`;
}

function flagsOf(change: RunChange): string[] {
  const { cpuOffload, vaeTiling, dtype, quantization, numFrames, height, width } = change;
  return [
    ...(cpuOffload === undefined ? [] : [cpuOffload === "block" ? "--cpu-offload-blocks" : "--cpu-offload"]),
    ...(vaeTiling ? ["--vae-tiling"] : []),
    ...(dtype === undefined ? [] : [`--dtype ${dtype}`]),
    ...(quantization === undefined ? [] : [`--quantization ${quantization}`]),
    ...(numFrames === undefined ? [] : [`--frames ${numFrames}`]),
    ...(height === undefined ? [] : [`--height ${height}`]),
    ...(width === undefined ? [] : [`--width ${width}`]),
  ];
}
