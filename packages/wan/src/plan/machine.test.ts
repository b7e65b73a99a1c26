import { expect, test } from "bun:test";
import { totalmem } from "node:os";
import { memory, threads } from "@wan-ts/tensor";
import { availableMemory, describeMachine, measureSpeed } from "./machine.ts";

test("memory that can be had is some, and no more than there is", async () => {
  expect(await availableMemory()).toBeWithin(1, totalmem() + 1);
});

test("a machine has the stream's threads, and no speed before it is measured", async () => {
  const machine = await describeMachine();
  expect(machine.threads).toBe(threads());
  expect(machine.speed).toBeUndefined();
});

test("a measured speed is one, and its measuring holds nothing", async () => {
  const { peak, bandwidth } = await measureSpeed();
  expect(peak.float32).toBeGreaterThan(1e6);
  expect(bandwidth).toBeGreaterThan(1e6);
  expect(memory().liveBytes).toBe(0);
});
