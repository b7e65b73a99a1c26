import { describe, test } from "bun:test";
import { FaultyRun } from "../faults/faulty-run.ts";
import { connected, environmentOf, shared } from "./devices.ts";

const small = ["--device", "cuda", "--height", "32", "--width", "48"] as const;

describe("a rank on a CUDA device that is killed is named, and the others end", () => {
  for (const [way, machine] of [
    ["from device to device", connected],
    ["through the machine", shared],
  ] as const) {
    for (const [moment, place] of [
      ["step", / at step 2/],
      ["collective", / at step 1, block \d, all-to-all #\d+\n/],
    ] as const) {
      test(`${way}: ${moment}`, async () => {
        const sabotage = { rank: 1, moment, fault: "SIGKILL" } as const;
        await using run = new FaultyRun({ sabotage, args: small, env: environmentOf(machine) });
        await run.expectFailure(1, [/ was killed \(SIGKILL\) /, place]);
      });
    }
  }
});
