import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";

const program = join(import.meta.dir, "..", "..", "test", "rows-rank.ts");

describe("rows over ranks", () => {
  test.each([1, 2, 3, 4, 5])(
    "give the bytes of whole frames, refuse what can't be split, and undo, with %p ranks",
    async (worldSize) => {
      const lines: string[] = [];
      const run = launchRanks({
        worldSize,
        command: [process.execPath, program],
        captureRank0: true,
        onLine: (rank, line) => lines.push(`${rank}: ${line}`),
      });
      const error = await run.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect({ error, lines }).toEqual({ error: undefined, lines: [] });
    },
  );
});
