import { type Device, openDevice } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkResult } from "./case.ts";
import { measurePeaks } from "./peaks.ts";
import { type PublishedCeilings, publishedCeilings } from "./published-ceilings.ts";

/** What results are set beside: what this machine did in the same run. */
export interface Ceilings {
  /** GFLOP/s by dtype; null where measuring them failed. */
  readonly gflops: Readonly<Record<BenchDType, number | null>>;
  /** Of a CUDA device's memory; null on the processor, and where measuring it failed. */
  readonly gigabytesPerSecond: number | null;
  /** A CUDA device's, as NVIDIA publishes them; null where they aren't known here. */
  readonly published: PublishedCeilings | null;
}

/** The processor's peak, measured now. */
export async function processorCeilings(): Promise<Ceilings> {
  return { gflops: await measurePeaks(), gigabytesPerSecond: null, published: null };
}

/** A CUDA device's by what its peaks' cases came to: the best of any, ours or the peer's. */
export function deviceCeilings(device: Device, peaks: readonly BenchmarkResult[]): Ceilings {
  const best = (
    dtype: BenchDType,
    of: (result: BenchmarkResult) => number | null | undefined,
  ): number | null => {
    const speeds = peaks.flatMap((result) => {
      const speed = result.dtype === dtype ? of(result) : null;
      return typeof speed === "number" ? [speed / Math.min(1, result.peer?.ratio ?? 1)] : [];
    });
    return speeds.length === 0 ? null : Math.max(...speeds);
  };
  return {
    gflops: {
      bfloat16: best("bfloat16", ({ gflops }) => gflops),
      float32: best("float32", ({ gflops }) => gflops),
    },
    gigabytesPerSecond: best("bfloat16", ({ gigabytesPerSecond }) => gigabytesPerSecond),
    published: publishedCeilings(openDevice(device).name),
  };
}

/** A result beside ceilings. */
export function withShares(result: BenchmarkResult, ceilings: Ceilings): BenchmarkResult {
  const { dtype, device, gflops, gigabytesPerSecond } = result;
  const shareOfPeak = share(gflops, ceilings.gflops[dtype]);
  if (device === "cpu") return { ...result, shareOfPeak };
  const { published } = ceilings;
  if (gigabytesPerSecond === undefined) {
    return {
      ...result,
      shareOfPeak,
      shareOfPublished: share(gflops, published && published.flops[dtype] / 1e9),
    };
  }
  return {
    ...result,
    shareOfPeak,
    shareOfBandwidth: share(gigabytesPerSecond, ceilings.gigabytesPerSecond),
    shareOfPublished: share(gigabytesPerSecond, published && published.bytesPerSecond / 1e9),
  };
}

function share(found: number | null, ceiling: number | null): number | null {
  return found === null || ceiling === null ? null : found / ceiling;
}
