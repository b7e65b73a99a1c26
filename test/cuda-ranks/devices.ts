/** What ranks find on their machine. */
export interface Machine {
  /** Emulated CUDA devices. */
  readonly devices: number;
  /** Whether there is an NCCL. */
  readonly nccl: boolean;
}

/** As many devices as any test has ranks, and NCCL. */
export const connected: Machine = { devices: 3, nccl: true };
/** One device that all ranks share. */
export const shared: Machine = { devices: 1, nccl: true };

/**
 * The environment in which a process finds that machine.
 *
 * @throws {Error} outside of `bun test/cuda-ranks/on-emulator.ts`, which builds what is emulated.
 */
export function environmentOf({ devices, nccl }: Machine): Record<string, string> {
  const { WAN_CUDA_DRIVER: driver, WAN_TEST_NCCL: folder } = process.env;
  if (driver === undefined || folder === undefined) {
    throw new Error("nothing is emulated here; run bun test/cuda-ranks/on-emulator.ts");
  }
  return {
    WAN_CUDA_DRIVER: driver,
    WAN_EMULATOR_DEVICES: `${devices}`,
    // A folder without any, in its place.
    WAN_CUDA_LIBRARIES: nccl ? folder : import.meta.dir,
  };
}
