import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { asRoot, mpiInstallations } from "../test/mpi-launchers.ts";

const program = join(import.meta.dir, "..", "test", "rank.ts");

/** Runs a scenario to its end, bounded; what all ranks have written. */
async function run(command: readonly string[], scenario: string, env: Record<string, string> = {}) {
  const child = Bun.spawn([...command, process.execPath, program, scenario], {
    env: { ...process.env, ...asRoot, ...env },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, text: `${output}${errors}` };
}

for (const { name, command: installed } of mpiInstallations()) {
  const command = installed ?? (() => []);
  const title = installed ? name : `${name} (skipped where it isn't installed)`;

  describe.skipIf(installed === undefined)(`ranks under ${title}`, () => {
    for (const ranks of [1, 3]) {
      test(`run every collective as a tensor operation, ${ranks} of them`, async () => {
        expect(await run(command(ranks), "collectives")).toMatchObject({ status: 0 });
        expect(await run(command(ranks), "reshard")).toMatchObject({ status: 0 });
      });
    }

    test("keep the stream's order among other operations", async () => {
      expect(await run(command(3), "pipeline")).toMatchObject({ status: 0 });
    });

    test("all fail where calls differ", async () => {
      const { status, text } = await run(command(3), "mismatch");
      expect(status).not.toBe(0);
      expect(text.match(/failed as it should/g)).toHaveLength(3);
    });

    test("fail where one ends in the middle, by status 0 too", async () => {
      for (const scenario of ["exit0", "exit3"]) {
        const { status, text } = await run(command(3), scenario);
        expect(status).not.toBe(0);
        expect(text).toContain("rank 1 failed: it ended without having done its work at step 1");
      }
    });

    test("tell what a rank says of its failure, and what became of its input", async () => {
      const { text } = await run(command(2), "throw");
      expect(text).toContain("rank 1 failed: the weights are damaged");
      const broken = await run(command(2), "brokenInput");
      expect(broken.text).toContain("all-gather was skipped: its input failed or was cancelled");
    });

    test("are refused with a library that isn't there", async () => {
      const { status, text } = await run(command(2), "collectives", {
        WAN_MPI_LIBRARY: "/nowhere/libmpi.so",
      });
      expect(status).not.toBe(0);
      expect(text).toContain("WAN_MPI_LIBRARY must name a library of MPI");
    });
  });
}
