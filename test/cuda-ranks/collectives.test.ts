import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import { connected, environmentOf, type Machine, shared } from "./devices.ts";

const program = join(import.meta.dir, "rank-program.ts");

async function run(machine: Machine, kind: "nccl" | "staged", worldSize: number): Promise<void> {
  const lines: string[] = [];
  await launchRanks({
    worldSize,
    command: [process.execPath, program, kind],
    env: { ...process.env, ...environmentOf(machine) },
    captureRank0: true,
    onLine: (_, line) => lines.push(line),
  });
  expect(lines).toEqual([]);
}

describe("collectives on tensors of CUDA devices give what they give on the processor", () => {
  for (const worldSize of [2, 3]) {
    test(`from device to device, ${worldSize} ranks`, () => run(connected, "nccl", worldSize));
    test(`through the machine, ${worldSize} ranks`, () => run(shared, "staged", worldSize));
  }

  test("through the machine where there is no NCCL", () => run({ devices: 2, nccl: false }, "staged", 2));
});
