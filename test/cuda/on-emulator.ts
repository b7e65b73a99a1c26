/**
 * Runs the tests of this folder on the emulated device, which interprets kernels' PTX on the processor:
 * builds its driver, then runs `bun test`, with smaller videos than a GPU is given.
 *
 * Usage: bun test/cuda/on-emulator.ts [arguments of bun test…]
 */
import { join } from "node:path";
import { buildEmulator } from "../../scripts/cargo-artifacts.ts";

const root = join(import.meta.dir, "../..");
const driver = await buildEmulator(root, "test");
const child = Bun.spawn([process.execPath, "test", ...process.argv.slice(2)], {
  cwd: import.meta.dir,
  env: { ...process.env, WAN_CUDA_DRIVER: driver, WAN_TEST_DEVICE: "cuda:0", WAN_TEST_EXTENT: "short" },
  stdin: "ignore",
  stdout: "inherit",
  stderr: "inherit",
});
process.exitCode = await child.exited;
