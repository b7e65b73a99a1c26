import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RankLogs } from "./rank-logs.ts";

describe("RankLogs", () => {
  test("shows lines with their rank", () => {
    let shown = "";
    using logs = new RankLogs({ write: (text) => (shown += text) });
    logs.take(1, "step 1/2");
    logs.take(12, "");
    expect(shown).toBe("[rank 1] step 1/2\n[rank 12] \n");
    expect(logs.keep()).toBeUndefined();
  });

  test("keeps a file a rank where it is asked to, and leaves nothing where it isn't", () => {
    const parent = mkdtempSync(join(tmpdir(), "rank-logs-"));
    const write = (keeps: boolean): string | undefined => {
      using logs = new RankLogs(undefined, parent);
      logs.take(1, "a");
      logs.take(2, "b");
      logs.take(1, "c");
      expect(readdirSync(parent)).toHaveLength(1);
      return keeps ? logs.keep() : undefined;
    };
    expect(write(false)).toBeUndefined();
    expect(readdirSync(parent)).toEqual([]);
    const folder = write(true) as string;
    expect(readdirSync(folder).toSorted()).toEqual(["rank-1.log", "rank-2.log"]);
    expect(readFileSync(join(folder, "rank-1.log"), "utf8")).toBe("a\nc\n");
    rmSync(parent, { recursive: true });
  });

  test("makes no folder without a line", () => {
    using logs = new RankLogs();
    expect(logs.keep()).toBeUndefined();
  });
});
