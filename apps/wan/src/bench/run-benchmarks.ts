import { threads } from "@wan-ts/tensor";
import type { BenchRequest } from "./arguments.ts";
import type { BenchmarkCase, BenchmarkResult, PeerComparison, RanksCase, RanksMeasurement } from "./case.ts";
import { families, peakName } from "./families.ts";
import { type Measurement, measure } from "./measure.ts";
import { measurePeaks, type Peaks } from "./peaks.ts";
import type { Peer } from "./peer.ts";

/**
 * Runs what is asked for, one case after the other; `onResult` hears of each when it is done.
 *
 * @throws {BenchmarkError} after the first wrong result, {PeerError}
 */
export async function runBenchmarks(
  { only, filter, repeats, peers }: BenchRequest,
  peer: Peer | undefined,
  onResult: (result: BenchmarkResult) => void,
): Promise<void> {
  const peaks = await measurePeaks();
  if (only.includes(peakName)) peakResults(peaks).forEach(onResult);
  const chosen = families.filter((family) => only.includes(family.name));
  const wanted = (one: BenchmarkCase | RanksCase): boolean => `${one.case} ${one.dtype}`.includes(filter);
  for (const { name, cases, ranksCases = [] } of chosen) {
    for (const one of ranksCases.filter(wanted)) {
      onResult(ranksResult(name, one, await one.measure(repeats.runs, peers), peaks));
    }
    for (const one of cases.filter(wanted)) {
      using prepared = await one.prepare();
      const measured = await measure(prepared, repeats);
      const compared = one.peer && peer && (await peer.time(one.peer, repeats));
      onResult(result(name, one, measured, prepared.flops, peaks, compared && ratioTo(compared, measured)));
    }
  }
}

function result(
  name: string,
  { case: description, dtype }: BenchmarkCase,
  { medianSeconds, minSeconds, runs, peakBytes }: Measurement,
  flops: number | undefined,
  peaks: Peaks,
  peer: PeerComparison | undefined,
): BenchmarkResult {
  const gflops = flops === undefined ? null : flops / medianSeconds / 1e9;
  return {
    name,
    case: description,
    dtype,
    device: "cpu",
    threads: threads(),
    ranks: 1,
    medianSeconds,
    minSeconds,
    runs,
    gflops,
    shareOfPeak: gflops === null ? null : gflops / peaks[dtype],
    peakBytes,
    ...(peer ? { peer } : {}),
  };
}

function ranksResult(
  name: string,
  { case: description, dtype, ranks }: RanksCase,
  { flops, peer, ...measured }: RanksMeasurement,
  peaks: Peaks,
): BenchmarkResult {
  const gflops = flops === undefined ? null : flops / measured.medianSeconds / 1e9;
  // The peak is that of all threads of this process, which ranks share out.
  const peak = (peaks[dtype] / threads()) * Math.min(ranks, threads());
  return {
    name,
    case: description,
    dtype,
    device: "cpu",
    threads: 1,
    ranks,
    ...measured,
    gflops,
    shareOfPeak: gflops === null ? null : gflops / peak,
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
