/**
 * Runs the tests of this folder: builds the emulated CUDA driver and the emulated NCCL, then runs `bun test`.
 * Tests say themselves how many devices there are, and whether there is an NCCL.
 *
 * Usage: bun test/cuda-ranks/on-emulator.ts [arguments of bun test…]
 */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildEmulator, buildNcclEmulator } from "../../scripts/cargo-artifacts.ts";

const root = join(import.meta.dir, "../..");
const driver = await buildEmulator(root, "test");
const nccl = await buildNcclEmulator(root);
const folder = mkdtempSync(join(tmpdir(), "wan-nccl-library-"));
try {
  // By the name that programs look for.
  copyFileSync(nccl, join(folder, "libnccl.so.2"));
  const child = Bun.spawn([process.execPath, "test", ...process.argv.slice(2)], {
    cwd: import.meta.dir,
    env: { ...process.env, WAN_CUDA_DRIVER: driver, WAN_TEST_NCCL: folder },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  process.exitCode = await child.exited;
} finally {
  rmSync(folder, { recursive: true });
}
