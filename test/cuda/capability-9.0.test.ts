import { describe, expect, test } from "bun:test";
import { isShortRun } from "./test-device.ts";

// A GPU has the capability that it has; the emulated device takes any.
describe.skipIf(!isShortRun())("an emulated device of compute capability 9.0", () => {
  test("passes the attention suite by the kernels of that one", async () => {
    const child = Bun.spawn([process.execPath, "test", "./conformance.test.ts", "./operations.test.ts"], {
      cwd: import.meta.dir,
      env: { ...process.env, WAN_EMULATOR_CAPABILITY: "9.0", WAN_CUDA_KERNELS: "ptx" },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [output, status] = await Promise.all([child.stderr.text(), child.exited]);
    expect({ status, output }).toMatchObject({ status: 0 });
    expect(Number(/^ *(\d+) pass$/m.exec(output)?.[1])).toBeGreaterThan(300);
  }, 120_000);
});
