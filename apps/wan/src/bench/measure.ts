import { type Device, memory, resetPeakMemory, synchronize } from "@wan-ts/tensor";
import type { PreparedCase } from "./case.ts";

/** How long a case is run. */
export interface Repeats {
  /** Runs at least, unless they take longer than `longestSeconds` together. */
  readonly runs: number;
  /** Short cases are run until so many seconds have passed. */
  readonly shortestSeconds: number;
  readonly longestSeconds: number;
}

/** What running a case took. */
export interface Measurement {
  readonly medianSeconds: number;
  readonly minSeconds: number;
  readonly runs: number;
  readonly peakBytes: number;
}

/** Enough for a steady median of a case of microseconds. */
const mostRuns = 1000;

/** A CUDA device is told of runs for so many seconds before it is waited for: telling and waiting take time. */
const deviceSampleSeconds = 0.02;
/** The most runs of one such wait. */
const mostRunsOfSample = 100;

/**
 * Runs a case once to warm up and checks what comes out, then times it. On a CUDA device short runs are
 * timed many at a time.
 */
export async function measure(
  prepared: PreparedCase,
  repeats: Repeats,
  device: Device = "cpu",
): Promise<Measurement> {
  {
    using output = await prepared.run();
    await synchronize();
    await prepared.check(output);
  }
  resetPeakMemory();
  const runsOfSample = device === "cpu" ? 1 : samplesOf(await time(prepared, 1));
  const seconds: number[] = [];
  let total = 0;
  while (seconds.length < mostRuns && total < repeats.longestSeconds) {
    if (seconds.length >= repeats.runs && total >= repeats.shortestSeconds) break;
    const taken = await time(prepared, runsOfSample);
    seconds.push(taken / runsOfSample);
    total += taken;
  }
  const { peakBytes, peakDeviceBytes } = memory();
  return { ...statistics(seconds), peakBytes: device === "cpu" ? peakBytes : peakDeviceBytes };
}

/** Seconds that so many runs take together. */
async function time(prepared: PreparedCase, runs: number): Promise<number> {
  const started = performance.now();
  for (let run = 0; run < runs; run++) (await prepared.run()).dispose();
  await synchronize();
  return (performance.now() - started) / 1000;
}

function samplesOf(seconds: number): number {
  return Math.max(1, Math.min(mostRunsOfSample, Math.ceil(deviceSampleSeconds / seconds)));
}

/** Median, minimum and number of times. */
export function statistics(seconds: readonly number[]): Omit<Measurement, "peakBytes"> {
  const sorted = seconds.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
  return { medianSeconds: median, minSeconds: sorted[0] ?? Number.NaN, runs: sorted.length };
}
