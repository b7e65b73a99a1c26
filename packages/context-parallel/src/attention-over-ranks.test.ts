import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import type { ContextParallelOptions } from "./config.ts";

const program = join(import.meta.dir, "..", "test", "rank.ts");

async function run(
  worldSize: number,
  given: {
    tokens: number;
    heads: number;
    dtype: string;
    options: ContextParallelOptions;
    offset?: number;
    residue?: boolean;
    pieces?: boolean;
  },
): Promise<string> {
  const lines: string[] = [];
  const failure = await launchRanks({
    worldSize,
    command: [process.execPath, program, JSON.stringify(given)],
    captureRank0: true,
    onLine: (rank, line) => lines.push(`${rank}: ${line}`),
  }).then(
    () => "",
    (error: unknown) => `${String(error)}\n${lines.join("\n")}`,
  );
  return failure;
}

describe("attention over ranks", () => {
  for (const dtype of ["float32", "bfloat16"]) {
    for (const [worldSize, tokens, heads] of [
      [1, 5, 3],
      [2, 13, 5],
      [4, 13, 4],
      [5, 13, 12],
    ] as const) {
      test(`Ulysses gives the same bytes: ${tokens} tokens, ${heads} heads, ${worldSize} ranks, ${dtype}`, async () => {
        expect(await run(worldSize, { tokens, heads, dtype, options: { ulyssesDegree: worldSize } })).toBe(
          "",
        );
      });
    }
    for (const [worldSize, tokens, heads, options] of [
      [2, 7, 3, { ringDegree: 2 }],
      [3, 13, 1, { ringDegree: 3 }],
      [4, 13, 3, { ringDegree: 2, ulyssesDegree: 2 }],
      [6, 13, 5, { ringDegree: 2, ulyssesDegree: 3 }],
    ] as const) {
      const name = JSON.stringify(options).replaceAll('"', "");
      test(`a ring gives the same bytes: ${tokens} tokens, ${heads} heads, ${name}, ${dtype}`, async () => {
        expect(await run(worldSize, { tokens, heads, dtype, options, pieces: true })).toBe("");
      });
      test(`a ring of merged parts is within rounding: ${tokens} tokens, ${heads} heads, ${name}, ${dtype}`, async () => {
        expect(await run(worldSize, { tokens, heads, dtype, options })).toBe("");
      });
      test(`merged parts are so with scores of about 64: ${tokens} tokens, ${name}, ${dtype}`, async () => {
        expect(await run(worldSize, { tokens, heads, dtype, options, offset: 4 })).toBe("");
      });
    }
    test(`a ring gives the same bytes over several blocks of keys: ${dtype}`, async () => {
      const given = { tokens: 2011, heads: 1, dtype, pieces: true };
      expect(await run(3, { ...given, options: { ringDegree: 3 } })).toBe("");
    });
    test(`a ring takes a backend that gives no residue: ${dtype}`, async () => {
      const given = { tokens: 13, heads: 2, dtype, offset: 4, residue: false };
      expect(await run(3, { ...given, options: { ringDegree: 3 } })).toBe("");
    });
  }
});
