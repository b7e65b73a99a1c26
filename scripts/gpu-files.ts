/** The folder of an archive of GPU tests that has what is built, from the archive's root. */
export const builtFolder = "built";

/** What {@link builtFolder} has, by name. */
export const builtFiles = {
  bun: `${builtFolder}/bun`,
  /** The Rust tests of operations on a device. */
  deviceTests: `${builtFolder}/devices`,
  /** The emulated driver; only where it was asked for. */
  emulator: `${builtFolder}/libcuda_emulator.so`,
} as const;

/** Packages for the peers' Python; only where they were asked for. */
export const builtPython = `${builtFolder}/python`;
