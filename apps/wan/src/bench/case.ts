import type { Device, DType, Tensor } from "@wan-ts/tensor";

/** Floating-point formats that benchmarks run in. */
export type BenchDType = Extract<DType, "float32" | "bfloat16">;

/** What a peer is asked to time: an operation by name and its sizes, as `torch-peer.py` reads it. */
export interface PeerTask {
  readonly operation: string;
  readonly dtype: BenchDType;
  readonly [setting: string]:
    | string
    | number
    | boolean
    | readonly number[]
    | Readonly<Record<string, number | null>>;
}

/** A case with its inputs in memory, ready to be run again and again. */
export interface PreparedCase extends Disposable {
  /** Submits the work and returns what it computes; the caller disposes it. */
  run(): Tensor | Promise<Tensor>;
  /**
   * Compares an output with an independent computation.
   *
   * @throws {BenchmarkError} where they part by more than rounding explains.
   */
  check(output: Tensor): Promise<void>;
  /** Floating-point operations of a run, a product and a sum counted as two; undefined where bytes are what counts. */
  readonly flops: number | undefined;
  /** Bytes that a run reads and writes at least, where those are what counts. */
  readonly bytes?: number;
  /** The same by NVIDIA's cuDNN, timed and checked beside it where there is one. */
  readonly cudnn?: CudnnRun | { readonly absent: string };
}

/** What cuDNN has of a case. */
export interface CudnnRun {
  /** With its version. */
  readonly name: string;
  /** As that of the case. */
  run(): Tensor;
}

/** One thing to time. */
export interface BenchmarkCase {
  /** The shape, for people. */
  readonly case: string;
  readonly dtype: BenchDType;
  /** Makes the inputs, on the device that computes. */
  prepare(device: Device): PreparedCase | Promise<PreparedCase>;
  /** What a peer would run, where there is one. */
  readonly peer?: PeerTask;
}

/** A thing to time that starts processes of its own: it measures itself, and checks what it measures. */
export interface RanksCase {
  readonly case: string;
  readonly dtype: BenchDType;
  readonly ranks: number;
  /** @throws {BenchmarkError} for a wrong result, {LaunchError} where a rank fails. */
  measure(runs: number, peers: boolean): Promise<RanksMeasurement>;
}

/** What a {@link RanksCase} took, on one thread of each rank. */
export interface RanksMeasurement {
  readonly medianSeconds: number;
  readonly minSeconds: number;
  readonly runs: number;
  readonly peakBytes: number;
  readonly flops: number | undefined;
  readonly peer: PeerComparison | undefined;
}

/** Cases that belong together, under the name that `--only` takes. */
export interface BenchmarkFamily {
  readonly name: string;
  readonly cases: readonly BenchmarkCase[];
  /** More of them, too much for a processor. */
  readonly cudaCases?: readonly BenchmarkCase[];
  /** On the processor alone. */
  readonly ranksCases?: readonly RanksCase[];
}

/** One line of the report: see the JSON list in the documentation of `--json`. */
export interface BenchmarkResult {
  readonly name: string;
  readonly case: string;
  readonly dtype: BenchDType;
  readonly device: Device;
  readonly threads: number;
  readonly ranks: number;
  readonly medianSeconds: number;
  readonly minSeconds: number;
  readonly runs: number;
  /** Null where operations don't say how fast a case is. */
  readonly gflops: number | null;
  /** Of the peak in this dtype that was measured in the same run; null where that failed. */
  readonly shareOfPeak: number | null;
  /** Bytes read and written a second, of what a CUDA device's memory bounds. */
  readonly gigabytesPerSecond?: number;
  /** Of what a plain copy within the device had in the same run; null where that failed. */
  readonly shareOfBandwidth?: number | null;
  /** On a CUDA device: of its peak or bandwidth as NVIDIA publishes it; null where that isn't known here. */
  readonly shareOfPublished?: number | null;
  /** The most tensor bytes that were held at once on the device, inputs included. */
  readonly peakBytes: number;
  /** The same by cuDNN, through this program; of attention on a CUDA device. */
  readonly cudnn?: PeerComparison;
  /** Why cuDNN has no figure: there is none, or it failed. */
  readonly cudnnAbsent?: string;
  readonly peer?: PeerComparison;
  /** Why a peer that was asked for has no figure: it lacks a library, or it failed. */
  readonly peerAbsent?: string;
}

/** A case that has no figures: it failed, or its result was wrong. */
export interface BenchmarkFailure extends Pick<BenchmarkResult, "name" | "case" | "dtype" | "device"> {
  readonly error: string;
}

/** What became of a case. */
export type BenchmarkOutcome = BenchmarkResult | BenchmarkFailure;

/** How a peer did in the same run; a ratio above 1 means that we are faster. */
export interface PeerComparison {
  readonly name: string;
  readonly medianSeconds: number;
  readonly ratio: number;
}

/** A benchmark whose result is wrong: its time would mean nothing. */
export class BenchmarkError extends Error {
  override readonly name = "BenchmarkError";
  readonly code = "benchmark";

  constructor(
    readonly found: number,
    readonly expected: number,
    readonly allowed: number,
    readonly where: string,
  ) {
    super(`wrong result at ${where}: ${found}, expected ${expected} within ${allowed}`);
  }
}
