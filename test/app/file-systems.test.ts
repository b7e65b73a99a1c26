import { describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { canMount, mounted } from "./mounted-disk.ts";
import { expectOneLine, runApp, shortRun, TemporaryFolder } from "./run-app.ts";

describe.skipIf(!canMount())("a file system", () => {
  const outputs = [
    ["--output", "disk/out.mp4"],
    ["--output", "disk/out.gif"],
    ["--output", "disk/frame.png"],
    ["--output", "disk/frames"],
    ["--save-latents", "disk/latents.safetensors"],
    ["--save-frames", "disk/frames.safetensors"],
  ] as const;
  for (const [flag, path] of outputs) {
    test(`that is full: ${flag} ${path} fails while running and leaves nothing`, async () => {
      using folder = new TemporaryFolder();
      mkdirSync(folder.file("disk"));
      const args = [...shortRun, "--output", "out.mp4", flag, path];
      const run = await runApp(folder.path, args, { command: mounted("size=4k", 4096) });
      expectOneLine(run, 1, [path]);
    });
  }

  test("that fills up within a file leaves no part of it", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("disk"));
    const args = [...shortRun, "--save-frames", "disk/frames.safetensors"];
    const run = await runApp(folder.path, args, { command: mounted("size=64k") });
    expectOneLine(run, 1, ["disk/frames.safetensors"]);
  });

  test("that is read-only is bad input", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("disk"));
    const args = ["--output", "disk/out.mp4"];
    const run = await runApp(folder.path, args, { command: mounted("ro") });
    expectOneLine(run, 2, ["disk/out.mp4"]);
  });

  test("that is large enough takes the video", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("disk"));
    const args = [...shortRun, "--output", "disk/out.mp4"];
    const run = await runApp(folder.path, args, { command: mounted("size=1m") });
    expect(run).toEqual({ status: 0, stdout: "out.mp4\n", stderr: "" });
  });
});
