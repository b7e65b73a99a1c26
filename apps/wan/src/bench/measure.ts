import { memory, resetPeakMemory, synchronize } from "@wan-ts/tensor";
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

/** Runs a case once to warm up and checks what comes out, then times it. */
export async function measure(prepared: PreparedCase, repeats: Repeats): Promise<Measurement> {
  {
    using output = await prepared.run();
    await synchronize();
    await prepared.check(output);
  }
  resetPeakMemory();
  const seconds: number[] = [];
  let total = 0;
  while (seconds.length < mostRuns && total < repeats.longestSeconds) {
    if (seconds.length >= repeats.runs && total >= repeats.shortestSeconds) break;
    const started = performance.now();
    using _output = await prepared.run();
    await synchronize();
    const taken = (performance.now() - started) / 1000;
    seconds.push(taken);
    total += taken;
  }
  return { ...statistics(seconds), peakBytes: memory().peakBytes };
}

/** Median, minimum and number of times. */
export function statistics(seconds: readonly number[]): Omit<Measurement, "peakBytes"> {
  const sorted = seconds.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
  return { medianSeconds: median, minSeconds: sorted[0] ?? Number.NaN, runs: sorted.length };
}
