import { closeDevice, type Device, openDevice, threads } from "@wan-ts/tensor";
import { messageLine } from "../report-failure.ts";
import type { BenchRequest } from "./arguments.ts";
import type {
  BenchmarkCase,
  BenchmarkOutcome,
  BenchmarkResult,
  PreparedCase,
  RanksCase,
  RanksMeasurement,
} from "./case.ts";
import { type Ceilings, deviceCeilings, processorCeilings, withShares } from "./ceilings.ts";
import { cudaPeakCases } from "./cuda-peaks.ts";
import { families, peakName } from "./families.ts";
import { type Measurement, measure } from "./measure.ts";
import type { Peer } from "./peer.ts";

/** What is run, where. */
export interface BenchRun extends Pick<BenchRequest, "only" | "filter" | "repeats" | "peers"> {
  readonly device: Device;
}

/**
 * Runs what is asked for in that order, one case after the other; `onOutcome` hears of each when it is done.
 * A case that fails, or whose result is wrong, doesn't keep the next from running.
 */
export async function runBenchmarks(
  run: BenchRun,
  peer: Peer | undefined,
  onOutcome: (outcome: BenchmarkOutcome) => void | Promise<void>,
): Promise<void> {
  if (run.device === "cpu") await runOnProcessor(run, peer, onOutcome);
  else await runOnDevice(run, peer, onOutcome);
}

type Tell = Parameters<typeof runBenchmarks>[2];

async function runOnProcessor(run: BenchRun, peer: Peer | undefined, onOutcome: Tell): Promise<void> {
  const { only, repeats, peers } = run;
  const ceilings = await processorCeilings();
  for (const name of only) {
    if (name === peakName) for (const peak of peakResults(ceilings)) await onOutcome(peak);
    const family = families.find((each) => each.name === name);
    for (const one of wanted(family?.ranksCases, run)) {
      const measured = async (): Promise<BenchmarkResult> =>
        ranksResult(name, one, await one.measure(repeats.runs, peers), ceilings);
      await onOutcome(await outcomeOf(name, one, run, measured));
    }
    for (const one of wanted(family?.cases, run)) {
      await onOutcome(await outcomeOf(name, one, run, () => runCase(name, one, run, peer), ceilings));
    }
  }
}

async function runOnDevice(run: BenchRun, peer: Peer | undefined, onOutcome: Tell): Promise<void> {
  const { only, device } = run;
  const outcome = (name: string, one: BenchmarkCase, ceilings?: Ceilings): Promise<BenchmarkOutcome> =>
    outcomeOf(name, one, run, () => runCase(name, one, run, peer), ceilings);
  const peaks: BenchmarkOutcome[] = [];
  for (const one of cudaPeakCases(openDevice(device).multiprocessors)) {
    peaks.push(await outcome(peakName, one));
  }
  const ceilings = deviceCeilings(device, peaks.filter(isResult));
  for (const name of only) {
    if (name === peakName) {
      for (const peak of peaks) await onOutcome(isResult(peak) ? withShares(peak, ceilings) : peak);
    }
    const { cases = [], cudaCases = [] } = families.find((each) => each.name === name) ?? {};
    for (const one of wanted([...cases, ...cudaCases], run)) {
      await onOutcome(await outcome(name, one, ceilings));
    }
  }
}

/** Whether a case has figures. */
export function isResult(outcome: BenchmarkOutcome): outcome is BenchmarkResult {
  return !("error" in outcome);
}

function wanted<C extends BenchmarkCase | RanksCase>(cases: readonly C[] | undefined, run: BenchRun): C[] {
  return (cases ?? []).filter((one) => `${one.case} ${one.dtype}`.includes(run.filter));
}

async function outcomeOf(
  name: string,
  one: BenchmarkCase | RanksCase,
  { device }: BenchRun,
  measured: () => Promise<BenchmarkResult>,
  ceilings?: Ceilings,
): Promise<BenchmarkOutcome> {
  try {
    const result = await measured();
    return ceilings ? withShares(result, ceilings) : result;
  } catch (error) {
    return { name, case: one.case, dtype: one.dtype, device, error: messageLine(error) };
  }
}

async function runCase(
  name: string,
  one: BenchmarkCase,
  { repeats, device }: BenchRun,
  peer: Peer | undefined,
): Promise<BenchmarkResult> {
  // What it holds is let go of before a peer takes as much.
  const { flops, bytes, measured, ...beside } = await measureCase(one, repeats, device);
  if (one.peer && peer) leaveRoom(device);
  const compared = one.peer && peer && (await peer.time(one.peer, repeats));
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
    gflops: flops === undefined ? null : flops / measured.medianSeconds / 1e9,
    shareOfPeak: null,
    ...(bytes === undefined || device === "cpu"
      ? {}
      : { gigabytesPerSecond: bytes / measured.medianSeconds / 1e9 }),
    peakBytes: measured.peakBytes,
    ...beside,
    ...(compared && "absent" in compared ? { peerAbsent: compared.absent } : {}),
    ...(compared && "medianSeconds" in compared
      ? { peer: { ...compared, ratio: compared.medianSeconds / measured.medianSeconds } }
      : {}),
  };
}

/** Gives the memory back that a device's pool keeps for this process, where a peer may need it. */
function leaveRoom(device: Device): void {
  if (device === "cpu") return;
  const { freeBytes, totalBytes } = openDevice(device);
  if (freeBytes < totalBytes / 2) closeDevice(device);
}

async function measureCase(
  one: BenchmarkCase,
  repeats: BenchRun["repeats"],
  device: Device,
): Promise<{ flops: number | undefined; bytes: number | undefined; measured: Measurement } & BesideCudnn> {
  using prepared = await one.prepare(device);
  const { flops, bytes } = prepared;
  const measured = await measure(prepared, repeats, device);
  return { flops, bytes, measured, ...(await measureCudnn(prepared, measured, repeats, device)) };
}

type BesideCudnn = Pick<BenchmarkResult, "cudnn" | "cudnnAbsent">;

/** Has cuDNN compute the same on the same inputs, held to the same check. That it can't is told, and no failure. */
async function measureCudnn(
  prepared: PreparedCase,
  ours: Measurement,
  repeats: BenchRun["repeats"],
  device: Device,
): Promise<BesideCudnn> {
  const { cudnn } = prepared;
  if (!cudnn) return {};
  if ("absent" in cudnn) return { cudnnAbsent: cudnn.absent };
  try {
    const same = { ...prepared, run: () => cudnn.run() };
    const { medianSeconds } = await measure(same, repeats, device);
    return { cudnn: { name: cudnn.name, medianSeconds, ratio: medianSeconds / ours.medianSeconds } };
  } catch (error) {
    return { cudnnAbsent: messageLine(error) };
  }
}

function ranksResult(
  name: string,
  { case: description, dtype, ranks }: RanksCase,
  { flops, peer, ...measured }: RanksMeasurement,
  { gflops: peaks }: Ceilings,
): BenchmarkResult {
  const gflops = flops === undefined ? null : flops / measured.medianSeconds / 1e9;
  const ofAll = peaks[dtype];
  // The peak is that of all threads of this process, which ranks share out.
  const peak = ofAll && (ofAll / threads()) * Math.min(ranks, threads());
  return {
    name,
    case: description,
    dtype,
    device: "cpu",
    threads: 1,
    ranks,
    ...measured,
    gflops,
    shareOfPeak: gflops && peak && gflops / peak,
    ...(peer ? { peer } : {}),
  };
}

function peakResults({ gflops: peaks }: Ceilings): BenchmarkResult[] {
  return (["bfloat16", "float32"] as const).map((dtype) => ({
    name: peakName,
    case: dtype === "float32" ? "fused multiply-adds on registers" : "products of the dtype on registers",
    dtype,
    device: "cpu",
    threads: threads(),
    ranks: 1,
    // Of one GFLOP; a peak has no shape of its own.
    medianSeconds: 1 / (peaks[dtype] ?? Number.NaN),
    minSeconds: 1 / (peaks[dtype] ?? Number.NaN),
    runs: 1,
    gflops: peaks[dtype],
    shareOfPeak: 1,
    peakBytes: 0,
  }));
}
