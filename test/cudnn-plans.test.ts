import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { surveyCuda } from "@wan-ts/tensor";
import { buildCudnnPlans } from "../scripts/cargo-artifacts.ts";

const cudnn = surveyCuda().libraries.find(({ name }) => name === "cuDNN");
const isThere = cudnn?.state === "found";
const suffix = isThere ? ` ${cudnn.version}` : ` (skipped: ${cudnn?.tried ?? "no cuDNN"})`;

/** Devices for which plans are made, and plans for each. */
const planned = { devices: 5, each: 22 };
// Cargo may have to build first, and cuDNN compiles a kernel for each plan.
const longest = 900_000;

describe.skipIf(!isThere)(`NVIDIA's cuDNN${suffix}`, () => {
  test(
    "plans the attentions of Wan for devices of every kind, which aren't here",
    async () => {
      const { program, driver } = await buildCudnnPlans(join(import.meta.dir, ".."));
      const folder = mkdtempSync(join(tmpdir(), "wan-cudnn-"));
      using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
      symlinkSync(driver, join(folder, "libcuda.so.1"));
      const paths = [folder, process.env.LD_LIBRARY_PATH].filter((path) => path !== undefined);
      const child = Bun.spawn([program], {
        env: { ...process.env, LD_LIBRARY_PATH: paths.join(":") },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      const lines = output.trimEnd().split("\n");
      expect({ refused: lines.filter((line) => line.startsWith("refused")), errors }).toEqual({
        refused: [],
        errors: "",
      });
      expect(lines.filter((line) => line.startsWith("planned"))).toBeArrayOfSize(
        planned.devices * planned.each,
      );
      expect(await child.exited).toBe(0);
    },
    longest,
  );
});
