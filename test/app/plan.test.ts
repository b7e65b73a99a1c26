import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { expectFailure, expectOneLine, runApp, shortRun, TemporaryFolder } from "./run-app.ts";

interface Plan {
  readonly fits: boolean;
  readonly peakResidentBytes: number;
  readonly processBytes: number;
  readonly flops: number;
  readonly seconds: number;
  readonly parts: readonly { readonly part: string; readonly parameters: number }[];
  readonly stages: readonly { readonly stage: string; readonly peakResidentBytes: number }[];
}

/** Frames that no machine holds, at the sizes that positions reach. */
const beyondMeasure = ["--height", "16384", "--width", "16384", "--frames", "4093"];

describe.concurrent("plan", () => {
  test("tells parts, stages, memory, work and time, and makes nothing", async () => {
    using folder = new TemporaryFolder();
    const run = await runApp(folder.path, ["plan", ...shortRun, "--json", "--output", "video.mp4"]);
    expect(run).toMatchObject({ status: 0, stderr: "" });
    const plan = JSON.parse(run.stdout) as Plan;
    expect(plan.fits).toBe(true);
    expect(plan.parts.map(({ part }) => part)).toEqual(["textEncoder", "imageEncoder", "transformer", "vae"]);
    expect(plan.stages.map(({ stage }) => stage)).toEqual([
      "load",
      "encodePrompt",
      "encodeImage",
      "encodeCondition",
      "denoise",
      "decode",
    ]);
    expect(plan.peakResidentBytes).toBe(Math.max(...plan.stages.map((stage) => stage.peakResidentBytes)));
    expect(plan.peakResidentBytes).toBeGreaterThan(plan.processBytes);
    expect(plan.flops).toBeGreaterThan(1e9);
    expect(plan.seconds).toBeGreaterThan(0);
    expect(existsSync(folder.file("video.mp4"))).toBe(false);
  });

  test("is a table for people", async () => {
    using folder = new TemporaryFolder();
    const { status, stdout } = await runApp(folder.path, ["plan", ...shortRun]);
    expect(status).toBe(0);
    for (const word of ["5 frames of 96×96", "transformer", "denoise", "memory", "FLOP", "time"]) {
      expect(stdout).toContain(word);
    }
  });

  test("refuses what generate refuses", () =>
    expectFailure(2, ["plan", "--height", "100"], ["--height", "96 or 112"]));
});

describe.concurrent("a video that no memory holds is refused in one line", () => {
  for (const command of ["plan", "generate"]) {
    test(command, async () => {
      using folder = new TemporaryFolder();
      const run = await runApp(folder.path, [command, ...beyondMeasure]);
      expectOneLine(run, 2, ["memory", "can be had", "smaller video"]);
      expect(folder.names).toEqual([]);
    });
  }
});
