import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { divideFeatures } from "@wan-ts/context-parallel";
import { launchRanks } from "@wan-ts/distributed";
import { weightBytes } from "@wan-ts/nn";
import { memory, synchronize } from "@wan-ts/tensor";
import { digestsOf } from "./digests-of.ts";
import { type EncoderCase, encoderCases } from "./encoder-cases.ts";
import type { RankLine } from "./rank-line.ts";

/** What each rank writes of each encoder. */
async function runRanks(worldSize: number): Promise<RankLine[][]> {
  const lines: string[][] = Array.from({ length: worldSize }, () => []);
  await launchRanks({
    worldSize,
    command: [process.execPath, join(import.meta.dir, "rank.ts")],
    captureRank0: true,
    onLine: (rank, line) => lines[rank]?.push(line),
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${lines.flat().join("\n")}`);
  });
  return lines.map((own) => own.map((line): RankLine => JSON.parse(line)));
}

const bytesOf = ({ quantized, cast, mapped }: RankLine["weights"]): number => quantized + cast + mapped;

/** Bytes of the parameters that a plan leaves whole: of norms and, in CLIP, embeddings. */
function undividedBytes({ module, plan }: EncoderCase): number {
  const divided = divideFeatures(module, plan, 1).map(({ name }) => `${name}.`);
  return [...module.namedParameters()].reduce((bytes, [name, { held }]) => {
    const isDivided = divided.some((prefix) => name.startsWith(prefix));
    return isDivided || held === undefined ? bytes : bytes + held.bytes;
  }, 0);
}

const whole = new Map<string, { digests: readonly string[]; bytes: number; undivided: number }>();

beforeAll(async () => {
  using resources = new DisposableStack();
  for (const encoder of await encoderCases(resources)) {
    encoder.load();
    whole.set(encoder.name, {
      digests: await digestsOf(encoder),
      bytes: bytesOf(weightBytes(encoder.module)),
      undivided: undividedBytes(encoder),
    });
  }
});
afterAll(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

// 3 heads: one each for three ranks, two and one for two, none for the last of four. 5 heads: uneven all over.
describe.each([1, 2, 3, 4])("encoders over %d ranks, by features", (worldSize) => {
  let ranks: RankLine[][];
  beforeAll(async () => {
    ranks = await runRanks(worldSize);
  });

  test("give every rank the bytes of one process, for prompt, negative prompt and both", () => {
    expect(whole.size).toBeGreaterThan(0);
    for (const lines of ranks) {
      expect(lines.map(({ name, digests }) => [name, digests])).toEqual(
        [...whole].map(([name, { digests }]) => [name, [...digests]]),
      );
    }
  });

  test("gather as the plan says, and nothing else", () => {
    for (const { name, gathers, expected } of ranks.flat()) {
      expect([name, gathers]).toEqual([name, expected]);
      if (worldSize > 1) expect(expected.count).toBeGreaterThan(0);
    }
  });

  test("hold their share of the weights", () => {
    for (const [place, [name, { bytes, undivided }]] of [...whole].entries()) {
      const held = ranks.map((lines) => bytesOf(lines[place]!.weights));
      const sum = held.reduce((total, own) => total + own, 0);
      const shared = sum - (worldSize - 1) * undivided;
      if (name.includes(" scales")) {
        // Rows share scales of scales, and their tables.
        for (const own of held) expect(own).toBeLessThanOrEqual(bytes);
        if (worldSize > 1) expect(Math.max(...held)).toBeLessThan(bytes);
      } else {
        expect([name, shared]).toEqual([name, bytes]);
      }
    }
  });
});
