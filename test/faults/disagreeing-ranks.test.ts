import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { LaunchError, launchRanks } from "@wan-ts/distributed";

const program = [process.execPath, join(import.meta.dir, "rank-program.ts")];

/** What a rank tells of its error. */
interface Told {
  readonly code: string;
  readonly message: string;
  readonly moved?: number;
}

/** Launches ranks that must fail; returns the launcher's error and what each rank tells. */
async function failing(
  worldSize: number,
  command: readonly string[],
): Promise<{ error: LaunchError; told: ReadonlyMap<number, Told> }> {
  const told = new Map<number, Told>();
  const launch = launchRanks({
    worldSize,
    command,
    captureRank0: true,
    onLine: (rank, line) => line.startsWith("{") && told.set(rank, JSON.parse(line) as Told),
  });
  const error = await launch.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof LaunchError)) throw new Error(`expected a LaunchError, got ${String(error)}`);
  return { error, told };
}

describe("ranks that call different things", () => {
  const cases = [
    ["shape", "all-reduce #1 of float32 [2, 3]", "all-reduce #1 of float32 [3, 2]"],
    ["dtype", "all-reduce #1 of float32 [4]", "all-reduce #1 of bfloat16 [4]"],
    ["operation", "all-reduce #1 of float32 [4]", "all-gather #1 of float32"],
    ["sizes", "all-gather #1 of float32", "all-gather #1 of float32"],
    ["order", "all-gather #1 of float32", "all-reduce #1 of float32 [2]"],
  ] as const;
  for (const [scenario, ours, theirs] of cases) {
    test(`${scenario}: every rank has an error with both descriptions, and nothing was moved`, async () => {
      const { error, told } = await failing(3, [...program, scenario]);
      expect(new Set(told.keys())).toEqual(new Set([0, 1, 2]));
      for (const { code, message, moved } of told.values()) {
        expect({ code, moved }).toEqual({ code: "mismatch", moved: 0 });
        expect(message).toContain("the ranks disagree");
        expect(message).toContain(ours);
        expect(message).toContain(theirs);
      }
      expect(error.failure.kind).toBe("failed");
      expect(error.message).toMatch(/^rank \d \(pid \d+\) failed .*the ranks disagree/);
    });
  }
});

describe("ranks that don't come together", () => {
  /** Has a shell say who the rank is before the program begins. */
  const as = (assignments: string): string[] => [
    "sh",
    "-c",
    `${assignments} exec "$0" "$@"`,
    ...program,
    "meet",
  ];

  test("a rank that was started twice is refused, and both processes are named", async () => {
    const { told } = await failing(2, as("RANK=0"));
    const messages = [...told.values()]
      .filter(({ code }) => code === "startUp")
      .map(({ message }) => message);
    expect(messages.some((text) => /rank 0 is process \d+ already, and process \d+ as well/.test(text))).toBe(
      true,
    );
  });

  test("a rank that never comes is named by those who wait", async () => {
    const late = 'if [ "$RANK" = 1 ]; then exec sleep 60; fi;';
    const { error, told } = await failing(2, as(late));
    expect(told.get(0)).toMatchObject({
      code: "startUp",
      message: expect.stringContaining("rank 1 is missing"),
    });
    expect(error.message).toMatch(/^rank \d/);
  });

  test("a rank of a run of another size is refused", async () => {
    const { told } = await failing(2, as("WORLD_SIZE=3"));
    const [first] = [...told.values()];
    expect(first?.message).toContain("of 3, and the launcher started 2");
  });
});
