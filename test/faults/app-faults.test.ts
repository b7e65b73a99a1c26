import { describe, expect, test } from "bun:test";
import { FaultyRun, isAlive, until } from "./faulty-run.ts";
import type { Moment } from "./sabotage.ts";

/** Where a rank is told to be. */
const places: Readonly<Record<Exclude<Moment, "writing">, RegExp>> = {
  loading: / at loading/,
  step: / at step 2/,
  collective: / at step 1, block \d, all-to-all #\d+\n/,
  decoding: / at decoding/,
};

describe("a rank that is killed", () => {
  for (const rank of [0, 1]) {
    for (const moment of ["loading", "step", "collective", "decoding"] as const) {
      test(`rank ${rank}: ${moment}`, async () => {
        await using run = new FaultyRun({ nproc: 3, sabotage: { rank, moment, fault: "SIGKILL" } });
        await run.expectFailure(rank, [/ was killed \(SIGKILL\) /, places[moment]]);
      });
    }
  }

  test("rank 0, while it writes the video", async () => {
    await using run = new FaultyRun({ sabotage: { rank: 0, moment: "writing", fault: "SIGKILL" } });
    await run.expectFailure(0, [/ was killed \(SIGKILL\) at writing/]);
  });

  test("rank 0, while it writes a directory of frames", async () => {
    const sabotage = { rank: 0, moment: "writing", fault: "SIGKILL" } as const;
    await using run = new FaultyRun({ sabotage, args: ["--output", "frames"] });
    await run.expectFailure(0, [/ was killed \(SIGKILL\) at writing/]);
  });
});

describe("a rank that is stopped", () => {
  for (const rank of [0, 1]) {
    test(`rank ${rank} is named, with the collective and the time waited`, async () => {
      await using run = new FaultyRun({ sabotage: { rank, moment: "collective", fault: "SIGSTOP" } });
      await run.expectFailure(rank, [/ has given no sign of life for \d+\.\d s, /, places.collective]);
    });
  }
});

describe("a rank that ends in the middle with status 0", () => {
  for (const moment of ["loading", "step", "decoding"] as const) {
    test(`is a failure: ${moment}`, async () => {
      await using run = new FaultyRun({ sabotage: { rank: 1, moment, fault: "exit" } });
      await run.expectFailure(1, ["ended without having done its work", places[moment]]);
    });
  }
});

describe("a launcher that is killed", () => {
  test("takes its ranks along while they compute", async () => {
    await using run = new FaultyRun({ nproc: 3, args: ["--steps", "1000"] });
    await run.marked("pid-0", "pid-1", "pid-2");
    run.child.kill("SIGKILL");
    await run.ended();
    await until("the ranks' end", () => !run.pids.some(isAlive));
    run.expectNothingLeft();
  });

  test("takes its ranks along while their threads are inside native code", async () => {
    await using run = new FaultyRun({ sabotage: { rank: 1, moment: "collective", fault: "hang" } });
    await run.marked("struck-1", "waiting-0");
    run.child.kill("SIGKILL");
    await run.ended();
    await until("the ranks' end", () => !run.pids.some(isAlive));
    run.expectNothingLeft();
  });
});

test("a front door that is killed takes launcher and ranks along", async () => {
  const frontDoor = ["sh", "-c", 'WAN_APP_PARENT=$$ "$0" "$@" & wait'];
  const sabotage = { rank: 1, moment: "collective", fault: "hang" } as const;
  await using run = new FaultyRun({ sabotage, command: frontDoor });
  await run.marked("struck-1", "waiting-0");
  run.child.kill("SIGKILL");
  expect((await run.ended()).stderr).toBe("error: stopped, as bun run app was killed\n");
  await until("the ranks' end", () => !run.pids.some(isAlive));
  run.expectNothingLeft();
});

describe("an interrupt", () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`by ${signal} ends launcher and ranks, with one line`, async () => {
      await using run = new FaultyRun({ sabotage: { rank: 1, moment: "collective", fault: "hang" } });
      await run.marked("struck-1", "waiting-0");
      run.child.kill(signal);
      expect(await run.ended()).toEqual({ status: 1, stdout: "", stderr: `error: stopped by ${signal}\n` });
      run.expectNothingLeft();
    });
  }

  test("that a terminal sends to the ranks too is told once, by the launcher", async () => {
    await using run = new FaultyRun({ sabotage: { rank: 1, moment: "collective", fault: "hang" } });
    await run.marked("struck-1", "waiting-0");
    for (const pid of run.pids) process.kill(pid, "SIGINT");
    run.child.kill("SIGINT");
    expect(await run.ended()).toEqual({ status: 1, stdout: "", stderr: "error: stopped by SIGINT\n" });
    run.expectNothingLeft();
  });

  test("of one rank alone is that rank's failure", async () => {
    await using run = new FaultyRun({ args: ["--steps", "1000"] });
    await run.marked("pid-0", "pid-1");
    process.kill(run.pids[1] as number, "SIGTERM");
    await run.expectFailure(1, [/stopped by SIGTERM|was killed \(SIGTERM\)/]);
  });
});
