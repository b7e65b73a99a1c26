import type { Device } from "@wan-ts/tensor";

/**
 * The CUDA device that these tests are about: `$WAN_TEST_DEVICE`, such as `cuda:0`.
 *
 * @throws {Error} where none is named, as `bun test` by itself names none.
 */
export function testDevice(): Device {
  const name = process.env.WAN_TEST_DEVICE;
  if (/^cuda:\d+$/.test(name ?? "")) return name as Device;
  throw new Error(
    `WAN_TEST_DEVICE names no device: ${JSON.stringify(name)}; run bun run test:gpu, or bun test/cuda/on-emulator.ts`,
  );
}

/** Whether kernels are interpreted, so that videos should be small: `$WAN_TEST_EXTENT` is `short`. */
export function isShortRun(): boolean {
  return process.env.WAN_TEST_EXTENT === "short";
}
