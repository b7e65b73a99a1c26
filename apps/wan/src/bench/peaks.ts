import { measurePeak } from "@wan-ts/tensor";
import type { BenchDType } from "./case.ts";

/** The machine's own GFLOP/s, by the dtype that is computed in. */
export type Peaks = Readonly<Record<BenchDType, number>>;

const measuredSeconds = 0.5;

/**
 * Measures what the arithmetic units can do. Where there are no products of bfloat16, it is widened
 * and multiplied as float32, and so has that peak.
 */
export async function measurePeaks(): Promise<Peaks> {
  const float32 = (await measurePeak("float32", measuredSeconds)) ?? Number.NaN;
  return { float32, bfloat16: (await measurePeak("bfloat16", measuredSeconds)) ?? float32 };
}
