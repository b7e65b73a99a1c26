import { memory, resetPeakMemory } from "@wan-ts/tensor";
import type { Stage } from "./events.ts";
import type { GenerateOptions } from "./options.ts";

/** Runs a stage, and tells the listeners in `options` when it begins and what it took. */
export async function timeStage<T>(
  stage: Stage,
  options: Pick<GenerateOptions, "onStageStart" | "onStageEnd" | "signal">,
  body: () => T | Promise<T>,
): Promise<T> {
  options.signal?.throwIfAborted();
  options.onStageStart?.(stage);
  resetPeakMemory();
  const started = performance.now();
  const result = await body();
  const seconds = (performance.now() - started) / 1000;
  const { peakBytes, peakDeviceBytes } = memory();
  options.onStageEnd?.({ stage, seconds, peakBytes, peakDeviceBytes });
  return result;
}
