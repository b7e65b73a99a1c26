import * as native from "@wan-ts/binding";

/** What tensors hold, over the whole process. */
export interface MemoryCounters {
  /** Storages that some tensor, or an operation not yet run, still refers to; 0 when nothing leaks. */
  readonly liveStorages: number;
  /** Bytes allocated for them; files mapped into memory don't count. */
  readonly liveBytes: number;
  /** The most that `liveBytes` has been since {@link resetPeakMemory}. */
  readonly peakBytes: number;
  /** Bytes allocated on CUDA devices. */
  readonly liveDeviceBytes: number;
  /** The most that `liveDeviceBytes` has been since {@link resetPeakMemory}. */
  readonly peakDeviceBytes: number;
}

/** The memory counters now. `await synchronize()` first to have operations under way settled. */
export function memory(): MemoryCounters {
  return native.memory();
}

/** Starts `peakBytes` and `peakDeviceBytes` anew from what is live. */
export function resetPeakMemory(): void {
  native.resetPeakMemory();
}
