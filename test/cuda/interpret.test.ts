import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";

const kernels = join(import.meta.dir, "../../crates/cuda-kernels/kernels");
const rooms = readdirSync(join(kernels, "interpret"))
  .filter((file) => file.endsWith(".py") && !file.startsWith("_") && file !== "problem.py")
  .map((file) => basename(file, ".py"))
  .sort();

/** A Python with Triton and PyTorch, or why there is none. */
function findPython(): { python: string } | { reason: string } {
  const python = process.env.WAN_PYTHON ?? Bun.which("python3");
  if (!python) return { reason: "no python3, and WAN_PYTHON names none" };
  const { success } = Bun.spawnSync([python, "-c", "import triton, torch"], { stderr: "ignore" });
  return success ? { python } : { reason: `${python} has no Triton and PyTorch` };
}

const found = findPython();
const suffix = "reason" in found ? ` (skipped: ${found.reason})` : "";

describe.skipIf("reason" in found)(`CUDA kernels under Triton's interpreter${suffix}`, () => {
  for (const room of rooms) {
    test(room, async () => {
      if ("reason" in found) throw new Error(found.reason);
      const child = Bun.spawn([found.python, "-m", "interpret", room], {
        cwd: kernels,
        env: { ...process.env, OMP_NUM_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(output) ?? [];
      expect({ failed, status: await child.exited, output, errors }).toMatchObject({
        failed: "0",
        status: 0,
      });
      expect(Number(passed)).toBeGreaterThan(0);
    }, 600_000);
  }
});
