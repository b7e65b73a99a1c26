/**
 * Runs the tests of this folder on the emulated device, which interprets kernels' PTX on the processor, with an
 * emulated cuDNN: builds both, then runs `bun test`, with smaller videos than a GPU is given.
 *
 * Usage: bun test/cuda/on-emulator.ts [arguments of bun test…]
 */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCudnnEmulator, buildEmulator } from "../../scripts/cargo-artifacts.ts";

const root = join(import.meta.dir, "../..");
const driver = await buildEmulator(root, "test");
const cudnn = await buildCudnnEmulator(root);
const folder = mkdtempSync(join(tmpdir(), "wan-cudnn-library-"));
try {
  // By the names that programs look for: cuDNN wants a cuBLASLt beside it.
  for (const name of ["libcudnn.so.9", "libcublasLt.so.12"]) symlinkSync(cudnn, join(folder, name));
  const child = Bun.spawn([process.execPath, "test", ...process.argv.slice(2)], {
    cwd: import.meta.dir,
    env: {
      ...process.env,
      WAN_CUDA_DRIVER: driver,
      WAN_CUDA_LIBRARIES: folder,
      WAN_TEST_CUDNN: "emulated",
      WAN_TEST_DEVICE: "cuda:0",
      WAN_TEST_EXTENT: "short",
    },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  process.exitCode = await child.exited;
} finally {
  rmSync(folder, { recursive: true });
}
