import { type Device, openDevice } from "@wan-ts/tensor";
import type { BenchDType } from "./case.ts";
import { publishedCeilings } from "./cuda-peaks.ts";
import { measurePeaks, type Peaks } from "./peaks.ts";

/** What results are set beside. */
export interface Ceilings {
  /** GFLOP/s by dtype; null where they aren't known. */
  readonly gflops: Peaks | null;
  /** Of the device's memory; null where it isn't known, or isn't asked for. */
  readonly gigabytesPerSecond: number | null;
}

/** The processor's peak, measured now; a CUDA device's, as NVIDIA publishes it. */
export async function ceilingsOf(device: Device): Promise<Ceilings> {
  if (device === "cpu") return { gflops: await measurePeaks(), gigabytesPerSecond: null };
  const published = publishedCeilings(openDevice(device).name);
  if (published === null) return { gflops: null, gigabytesPerSecond: null };
  const giga = (dtype: BenchDType): number => published.flops[dtype] / 1e9;
  return {
    gflops: { bfloat16: giga("bfloat16"), float32: giga("float32") },
    gigabytesPerSecond: published.bytesPerSecond / 1e9,
  };
}
