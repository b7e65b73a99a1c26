import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import { asRoot, mpiInstallations } from "../../packages/distributed/test/mpi-launchers.ts";
import { twoHosts, twoHostsObstacle } from "./two-hosts.ts";

const program = join(import.meta.dir, "rank-program.ts");

async function run(command: readonly string[]): Promise<{ status: number; output: string; errors: string }> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...asRoot },
    stdout: "pipe",
    stderr: "pipe",
    timeout: 100_000,
  });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, output, errors };
}

let expected = "";
beforeAll(async () => {
  const lines: string[] = [];
  await launchRanks({
    worldSize: 4,
    command: [process.execPath, program, "digest"],
    captureRank0: true,
    onLine: (_, line) => lines.push(line),
  });
  expected = lines.find((line) => line.startsWith("digest ")) ?? "";
  expect(expected).toMatch(/^digest [0-9a-f]{64}$/);
});

const blocked = twoHostsObstacle();
for (const { name, kind, command } of mpiInstallations()) {
  const reason = blocked ?? (command ? undefined : `${name} is not installed`);
  const suffix = reason ? ` (skipped: ${reason})` : "";

  describe.skipIf(reason !== undefined)(`ranks under ${name}${suffix}`, () => {
    test("on one machine give the bytes of shared memory", async () => {
      const { status, output, errors } = await run([
        ...(command?.(4) ?? []),
        process.execPath,
        program,
        "digest",
      ]);
      expect({ status, output, errors }).toMatchObject({ status: 0, output: `${expected}\n` });
    });

    test("on two hosts give the bytes of one", async () => {
      const { status, output, errors } = await run([
        twoHosts,
        kind,
        "2",
        process.execPath,
        program,
        "digest",
      ]);
      expect({ status, output, errors }).toMatchObject({ status: 0, output: `${expected}\n` });
    });

    test("name the one whose host is cut off, and end", async () => {
      const { status, errors } = await run([twoHosts, kind, "1", process.execPath, program, "cut"]);
      expect(status).not.toBe(0);
      expect(errors).toMatch(/rank 0: barrier #2: rank 1 gives no sign of life at step 3, /);
    });
  });
}
