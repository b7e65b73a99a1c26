import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type AttentionBackend, AttentionRegistry } from "@wan-ts/attention";
import { NativeAttentionBackend } from "@wan-ts/attention-native";
import { ContextParallelError } from "@wan-ts/context-parallel";
import { loadImage } from "@wan-ts/media";
import { memory, synchronize } from "@wan-ts/tensor";
import { openCheckpoint } from "../checkpoint.ts";
import { rejection } from "../testing/rejection.ts";
import type { Machine } from "./machine.ts";
import { alternatives, planRanks, type RanksPlan } from "./plan-ranks.ts";
import type { RunOptions } from "./rehearse-run.ts";
import { planRun } from "./run-plan.ts";

const speed = { peak: { float32: 1e11, bfloat16: 2e11 }, bandwidth: 1e10 };
const machine: Machine = { availableBytes: 2 ** 40, threads: 1, instructionSet: "portable", speed };
const tiny = join(import.meta.dir, "../../../../models/wan-tiny");
const steps = 2;

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

async function planned(
  worldSize: number,
  options: Parameters<typeof planRanks>[4],
  changes: Partial<RunOptions["generate"]> = {},
  load: RunOptions["load"] = {},
): Promise<RanksPlan> {
  const checkpoint = await openCheckpoint(tiny);
  const image = await loadImage(join(tiny, "sample.png"));
  const generate = {
    prompt: "a red ball",
    image,
    height: 48,
    width: 80,
    numFrames: 13,
    numInferenceSteps: steps,
  };
  const run: RunOptions = { load: { dtype: "float32", ...load }, generate: { ...generate, ...changes } };
  const alone = await planRun(checkpoint, run, machine);
  return planRanks(checkpoint, run, machine, { worldSize, bandwidth: 1e9 }, options, alone);
}

describe("planRanks", () => {
  test("tells of two all-to-alls a block with Ulysses, and none between prompts", async () => {
    const ulysses = await planned(2, { ulyssesDegree: 2 });
    expect(ulysses.degrees).toEqual({ cfg: 1, ring: 1, ulysses: 2 });
    expect(ulysses.perBlock).toEqual([{ collective: "all-to-all", count: 2, bytes: expect.any(Number) }]);
    // 4 latent frames of 3 × 5 tokens.
    expect(ulysses.ranks.map(({ tokens }) => tokens)).toEqual([30, 30]);
    const prompts = await planned(2, { cfgParallel: true });
    expect(prompts.perBlock).toEqual([]);
    const ofPrompts = prompts.ranks[0]!.collectives.filter(({ group }) => group === "cfg");
    expect(ofPrompts.map(({ collective, count }) => [collective, count])).toEqual([["all-gather", steps]]);
  });

  test("shares out tokens and heads unevenly, and sends what others receive", async () => {
    const { ranks, efficiency } = await planned(3, {});
    expect(ranks.map(({ heads }) => heads)).toEqual([2, 1, 1]);
    const total = (key: "bytesSent" | "bytesReceived"): number =>
      ranks.flatMap(({ collectives }) => collectives).reduce((sum, entry) => sum + entry[key], 0);
    expect(total("bytesSent")).toBe(total("bytesReceived"));
    expect(efficiency).toBeWithin(0.01, 1);
  });

  test("a ring hands keys and values on once a hop", async () => {
    const { perBlock } = await planned(4, { ringDegree: 4 });
    // Keys and values of three ranks are sent on, and those of three received, each in its turn.
    expect(perBlock).toEqual([{ collective: "send-receive", count: 12, bytes: expect.any(Number) }]);
  });

  test("a ring for a backend that takes no pieces sends and receives at once", async () => {
    const native = new NativeAttentionBackend();
    const whole: AttentionBackend = {
      specificationVersion: 1,
      name: "whole",
      rowInvariant: true,
      refusals: (request) => native.refusals(request),
      attend: (call) => native.attend(call),
    };
    const attention = new AttentionRegistry([whole]);
    const { perBlock } = await planned(4, { ringDegree: 4 }, {}, { attention });
    expect(perBlock).toEqual([{ collective: "send-receive", count: 6, bytes: expect.any(Number) }]);
  });

  test("names the other ways, and refuses ranks without tokens", async () => {
    const plan = await planned(4, { ulyssesDegree: 4 });
    expect(alternatives(plan, { heads: 4, guided: true })).toEqual([
      { cfgParallel: false, ulyssesDegree: 2, ringDegree: 2 },
      { cfgParallel: false, ulyssesDegree: 1, ringDegree: 4 },
      { cfgParallel: true, ulyssesDegree: 2, ringDegree: 1 },
      { cfgParallel: true, ulyssesDegree: 1, ringDegree: 2 },
    ]);
    const error = await rejection(planned(8, {}, { height: 16, width: 16, numFrames: 5 }));
    expect(ContextParallelError.isInstance(error) && error.code).toBe("tokens");
  });
});
