import { describe, expect, test } from "bun:test";
import { formatSeconds, Progress } from "./progress.ts";

/** A stream that keeps what is written to it. */
class Recorder {
  text = "";
  constructor(readonly isTTY: boolean) {}
  write(text: string): void {
    this.text += text;
  }
}

const step = (index: number, seconds: number) => ({
  step: index,
  steps: 4,
  timestep: 500,
  sigma: 0.5,
  seconds,
});

function show(stream: Recorder, quiet = false): string {
  const progress = new Progress(stream, quiet);
  progress.stageStarted("encodePrompt");
  progress.step(step(1, 2));
  progress.step(step(2, 4));
  progress.line("done");
  progress.finish();
  return stream.text;
}

describe("Progress", () => {
  test("writes plain lines where nobody looks on", () => {
    expect(show(new Recorder(false)).split("\n")).toEqual([
      "encoding the prompt",
      "step 1/4  2.00 s a step  6.00 s left",
      "step 2/4  3.00 s a step  6.00 s left",
      "done",
      "",
    ]);
  });

  test("draws over one line with a bar on a terminal", () => {
    const lines = show(new Recorder(true)).split("\r\x1b[2K");
    expect(lines).toEqual([
      "",
      "encoding the prompt",
      `${"█".repeat(6)}${"░".repeat(18)} step 1/4  2.00 s a step  6.00 s left`,
      `${"█".repeat(12)}${"░".repeat(12)} step 2/4  3.00 s a step  6.00 s left`,
      "done\n",
      "",
    ]);
  });

  test("writes nothing when quiet", () => {
    expect(show(new Recorder(false), true) + show(new Recorder(true), true)).toBe("");
  });
});

test("seconds are written as people read them", () => {
  for (const [seconds, text] of [
    [0, "0.00 s"],
    [0.4212, "0.42 s"],
    [9.994, "9.99 s"],
    [9.996, "10 s"],
    [59.4, "59 s"],
    [59.6, "1 min 00 s"],
    [185, "3 min 05 s"],
    [3599.6, "1 h 00 min"],
    [7800, "2 h 10 min"],
  ] as const) {
    expect(formatSeconds(seconds)).toBe(text);
  }
});
