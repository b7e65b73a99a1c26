import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { LaunchError } from "./errors.ts";
import { type LaunchOptions, launchRanks } from "./launch-ranks.ts";

const program = join(import.meta.dir, "..", "test", "rank.ts");

function options(scenario: string, worldSize: number): LaunchOptions {
  return { worldSize, command: [process.execPath, program, scenario], captureRank0: true };
}

async function failureOf(launch: Promise<unknown>): Promise<LaunchError> {
  const error = await launch.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof LaunchError)) throw new Error(`expected a LaunchError, got ${String(error)}`);
  return error;
}

function messageOf(launch: Promise<unknown>): Promise<string> {
  return launch.then(
    () => "no error",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

/** Sends `signal` to rank 1 once it waits outside of a collective; it tells so by a line. */
async function strike(signal: NodeJS.Signals): Promise<LaunchError> {
  const pids = new Map<number, number>();
  const launch = launchRanks({
    ...options("wait", 3),
    command: ["sh", "-c", `echo pid $$; exec "$0" "$@"`, process.execPath, program, "wait"],
    onLine: (rank, line) => {
      if (line.startsWith("pid ")) pids.set(rank, Number(line.slice(4)));
      if (line === "waiting") process.kill(pids.get(1) as number, signal);
    },
  });
  const error = await failureOf(launch);
  expect(error.failure).toMatchObject({ rank: 1, pid: pids.get(1) });
  for (const pid of pids.values()) expect(() => process.kill(pid, 0)).toThrow();
  return error;
}

describe("launchRanks", () => {
  test("names a killed rank in one line, and leaves no process", async () => {
    const { failure, message } = await strike("SIGKILL");
    expect(failure.kind).toBe("killed");
    expect(message).toBe(
      `rank 1 (pid ${failure.pid}) was killed (SIGKILL) at step 3, block 7, after all-gather #1`,
    );
  });

  test("names a stopped rank, and leaves no process", async () => {
    const { failure, message } = await strike("SIGSTOP");
    expect(failure.kind).toBe("stopped");
    expect(message).toStartWith(`rank 1 (pid ${failure.pid}) has given no sign of life for `);
    expect(message).toEndWith(" s, at step 3, block 7, after all-gather #1");
    expect(failure.silentSeconds).toBeGreaterThan(0);
  });

  test("takes status 0 without a word of success for a failure", async () => {
    const { failure } = await failureOf(launchRanks(options("exit0", 2)));
    expect(failure).toMatchObject({ rank: 1, kind: "unfinished", whereabouts: "at step 1" });
  });

  test("tells status and last line of a rank that exits", async () => {
    const { failure, message } = await failureOf(launchRanks(options("exit3", 3)));
    expect(failure).toMatchObject({ rank: 1, kind: "exited", exitCode: 3 });
    expect(message).toEndWith("exited with status 3 at step 1: out of ideas");
  });

  test("tells what a rank says of its failure", async () => {
    const { failure, message } = await failureOf(launchRanks(options("throw", 2)));
    expect(failure).toMatchObject({ rank: 1, kind: "failed" });
    expect(message).toEndWith("failed at step 1: the weights are damaged");
  });

  test("reports a program that can't be a rank", async () => {
    const launch = launchRanks({ ...options("", 2), command: [process.execPath, "-e", "process.exit(0)"] });
    expect((await failureOf(launch)).failure.kind).toBe("unfinished");
  });

  test("ends the run when it is aborted", async () => {
    const controller = new AbortController();
    const launch = launchRanks({
      ...options("wait", 2),
      signal: controller.signal,
      onLine: (_, line) => line === "waiting" && controller.abort(new Error("enough")),
    });
    expect(await messageOf(launch)).toBe("enough");
  });

  test("refuses sizes out of range", async () => {
    expect(await messageOf(launchRanks(options("wait", 0)))).toMatch(/1 to 256/);
    const huge = launchRanks({ ...options("wait", 1), arenaBytes: 2 ** 52 });
    expect(await messageOf(huge)).toMatch(/shared memory/);
  });
});
