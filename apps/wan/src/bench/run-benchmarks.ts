import { type Device, threads } from "@wan-ts/tensor";
import type { BenchRequest } from "./arguments.ts";
import type {
  BenchmarkCase,
  BenchmarkFamily,
  BenchmarkResult,
  PeerComparison,
  RanksCase,
  RanksMeasurement,
} from "./case.ts";
import { type Ceilings, ceilingsOf } from "./ceilings.ts";
import { cudaPeakCases } from "./cuda-peaks.ts";
import { families, peakName } from "./families.ts";
import { type Measurement, measure } from "./measure.ts";
import type { Peaks } from "./peaks.ts";
import type { Peer } from "./peer.ts";

/** What is run, where. */
export interface BenchRun extends Pick<BenchRequest, "only" | "filter" | "repeats" | "peers"> {
  readonly device: Device;
}

/**
 * Runs what is asked for, one case after the other; `onResult` hears of each when it is done.
 *
 * @throws {BenchmarkError} after the first wrong result, {PeerError}
 */
export async function runBenchmarks(
  run: BenchRun,
  peer: Peer | undefined,
  onResult: (result: BenchmarkResult) => void,
): Promise<void> {
  const { only, filter, repeats, peers, device } = run;
  const ceilings = await ceilingsOf(device);
  const onProcessor = device === "cpu";
  if (only.includes(peakName) && onProcessor && ceilings.gflops) {
    peakResults(ceilings.gflops).forEach(onResult);
  }
  const cudaPeak: BenchmarkFamily = { name: peakName, cases: [], cudaCases: cudaPeakCases };
  const wanted = (one: BenchmarkCase | RanksCase): boolean => `${one.case} ${one.dtype}`.includes(filter);
  for (const family of [...(onProcessor ? [] : [cudaPeak]), ...families]) {
    const { name, cases, cudaCases = [], ranksCases = [] } = family;
    if (!only.includes(name)) continue;
    for (const one of onProcessor ? ranksCases.filter(wanted) : []) {
      const measured = await one.measure(repeats.runs, peers);
      onResult(ranksResult(name, one, measured, ceilings));
    }
    for (const one of [...cases, ...(onProcessor ? [] : cudaCases)].filter(wanted)) {
      onResult(await runCase(name, one, run, { ceilings, peer }));
    }
  }
}

async function runCase(
  name: string,
  one: BenchmarkCase,
  { repeats, device }: BenchRun,
  { ceilings, peer }: { readonly ceilings: Ceilings; readonly peer: Peer | undefined },
): Promise<BenchmarkResult> {
  // What it holds is let go of before a peer takes as much.
  const { flops, bytes, measured } = await measureCase(one, repeats, device);
  const compared = one.peer && peer && (await peer.time(one.peer, repeats));
  const gflops = flops === undefined ? null : flops / measured.medianSeconds / 1e9;
  const gigabytesPerSecond =
    bytes === undefined || device === "cpu" ? undefined : bytes / measured.medianSeconds / 1e9;
  return {
    name,
    case: one.case,
    dtype: one.dtype,
    device,
    threads: threads(),
    ranks: 1,
    medianSeconds: measured.medianSeconds,
    minSeconds: measured.minSeconds,
    runs: measured.runs,
    gflops,
    shareOfPeak: shareOf(gflops, ceilings.gflops?.[one.dtype] ?? null),
    ...(gigabytesPerSecond === undefined
      ? {}
      : {
          gigabytesPerSecond,
          shareOfBandwidth: shareOf(gigabytesPerSecond, ceilings.gigabytesPerSecond),
        }),
    peakBytes: measured.peakBytes,
    ...(compared ? { peer: ratioTo(compared, measured) } : {}),
  };
}

async function measureCase(
  one: BenchmarkCase,
  repeats: BenchRun["repeats"],
  device: Device,
): Promise<{ flops: number | undefined; bytes: number | undefined; measured: Measurement }> {
  using prepared = await one.prepare(device);
  return { flops: prepared.flops, bytes: prepared.bytes, measured: await measure(prepared, repeats, device) };
}

function shareOf(found: number | null, ceiling: number | null): number | null {
  return found === null || ceiling === null ? null : found / ceiling;
}

function ranksResult(
  name: string,
  { case: description, dtype, ranks }: RanksCase,
  { flops, peer, ...measured }: RanksMeasurement,
  { gflops: peaks }: Ceilings,
): BenchmarkResult {
  const gflops = flops === undefined ? null : flops / measured.medianSeconds / 1e9;
  // The peak is that of all threads of this process, which ranks share out.
  const peak = peaks && (peaks[dtype] / threads()) * Math.min(ranks, threads());
  return {
    name,
    case: description,
    dtype,
    device: "cpu",
    threads: 1,
    ranks,
    ...measured,
    gflops,
    shareOfPeak: shareOf(gflops, peak),
    ...(peer ? { peer } : {}),
  };
}

function peakResults(peaks: Peaks): BenchmarkResult[] {
  return (["bfloat16", "float32"] as const).map((dtype) => ({
    name: peakName,
    case: dtype === "float32" ? "fused multiply-adds on registers" : "products of the dtype on registers",
    dtype,
    device: "cpu",
    threads: threads(),
    ranks: 1,
    // Of one GFLOP; a peak has no shape of its own.
    medianSeconds: 1 / peaks[dtype],
    minSeconds: 1 / peaks[dtype],
    runs: 1,
    gflops: peaks[dtype],
    shareOfPeak: 1,
    peakBytes: 0,
  }));
}

function ratioTo(
  { name, medianSeconds }: { readonly name: string; readonly medianSeconds: number },
  ours: Measurement,
): PeerComparison {
  return { name, medianSeconds, ratio: medianSeconds / ours.medianSeconds };
}
