import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LaunchOptions, launchRanks } from "./launch-ranks.ts";

const program = join(import.meta.dir, "..", "test", "rank.ts");

async function run(
  scenario: string,
  worldSize: number,
  options: Partial<LaunchOptions> = {},
): Promise<string[]> {
  const lines: string[] = [];
  await launchRanks({
    ...options,
    worldSize,
    command: [process.execPath, program, scenario],
    captureRank0: true,
    onLine: (rank, line) => lines.push(`${rank}: ${line}`),
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${lines.join("\n")}`);
  });
  return lines;
}

function messageOf(launch: Promise<unknown>): Promise<string> {
  return launch.then(
    () => "no error",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

describe("a process group", () => {
  for (const worldSize of [1, 2, 3, 4]) {
    test(`runs every collective as a tensor operation, with ${worldSize} ranks`, async () => {
      await run("collectives", worldSize);
    });
  }

  for (const worldSize of [1, 2, 3, 4]) {
    test(`shares tensors out along another dimension, with ${worldSize} ranks`, async () => {
      await run("reshard", worldSize);
    });
  }

  for (const worldSize of [1, 2, 4]) {
    test(`counts in a plan what a run moves, with ${worldSize} ranks`, async () => {
      await run("planned", worldSize);
    });
  }

  for (const worldSize of [1, 2, 3]) {
    test(`stages nothing that was made in shared memory, with ${worldSize} ranks`, async () => {
      await run("sharedMemory", worldSize, { arenaBytes: 32 << 20 });
    });
  }

  test("exchanges beside what is computed meanwhile", async () => {
    const directory = await mkdtemp(join(tmpdir(), "overlap-"));
    try {
      await run("overlap", 2, { env: { ...process.env, OVERLAP_FLAG: join(directory, "flag") } });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test("keeps the stream's order among other operations", async () => {
    await run("pipeline", 3);
  });

  test("tells a trace of collectives and their bytes", async () => {
    await run("trace", 3);
  });

  test("fails every rank's result where calls differ, and what is computed from it", async () => {
    const lines: string[] = [];
    const launch = launchRanks({
      worldSize: 3,
      command: [process.execPath, program, "mismatch"],
      captureRank0: true,
      onLine: (rank, line) => lines.push(`${rank}: ${line}`),
    });
    expect(await messageOf(launch)).toMatch(/^rank \d .* failed at all-.*the ranks disagree: /);
    expect(lines.sort()).toEqual([0, 1, 2].map((rank) => `${rank}: failed as it should`));
  });

  test("fails where a rank's input has failed before", async () => {
    expect(await messageOf(run("brokenInput", 2))).toMatch(/rank 1 .*failed.*all-gather was skipped/);
    expect(await messageOf(run("brokenExchange", 2))).toMatch(/rank 1 .*failed.*send-receive was skipped/);
  });
});
