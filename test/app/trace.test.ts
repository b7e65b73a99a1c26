import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { runApp, shortRun, TemporaryFolder } from "./run-app.ts";

const spanSchema = z.strictObject({
  name: z.string(),
  cat: z.enum(["stages", "operations", "collectives"]),
  ph: z.literal("X"),
  ts: z.number(),
  dur: z.number().nonnegative(),
  pid: z.int(),
  tid: z.int(),
  args: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
});
const namesSchema = z.strictObject({
  name: z.enum(["process_name", "process_sort_index", "thread_name", "thread_sort_index"]),
  ph: z.literal("M"),
  pid: z.int(),
  tid: z.int(),
  args: z.record(z.string(), z.union([z.string(), z.number()])),
});
const traceSchema = z.strictObject({
  displayTimeUnit: z.literal("ms"),
  traceEvents: z.array(z.union([spanSchema, namesSchema])),
});
const reportSchema = z.object({
  trace: z.string(),
  ranks: z.array(
    z.object({
      rank: z.int(),
      pid: z.int(),
      collectives: z.record(
        z.string(),
        z.object({ count: z.int(), bytesSent: z.int(), bytesReceived: z.int() }),
      ),
    }),
  ),
});

type Span = z.infer<typeof spanSchema>;

async function traced(folder: TemporaryFolder, ...args: string[]) {
  const run = await runApp(folder.path, [...shortRun, "--json", "--trace", "trace.json", ...args]);
  expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
  expect(folder.names).toEqual(["out.mp4", "trace.json"]);
  const report = reportSchema.parse(JSON.parse(run.stdout));
  expect(report.trace).toBe(folder.file("trace.json"));
  const { traceEvents } = traceSchema.parse(JSON.parse(readFileSync(report.trace, "utf8")));
  const spans = traceEvents.filter((event): event is Span => event.ph === "X");
  const processNames = traceEvents.filter(({ name }) => name === "process_name");
  return { ranks: report.ranks, spans, processNames: processNames.map(({ args: named }) => named?.name) };
}

/** Spans of one row may lie within one another or apart, never across. */
function expectNested(spans: readonly Span[]): void {
  // The format has nanoseconds.
  const rounding = 0.002;
  const open: number[] = [];
  for (const { ts, dur } of spans.toSorted((left, right) => left.ts - right.ts || right.dur - left.dur)) {
    while (open.length > 0 && (open.at(-1) as number) <= ts + rounding) open.pop();
    expect(ts + dur).toBeLessThanOrEqual((open.at(-1) ?? Number.POSITIVE_INFINITY) + rounding);
    open.push(ts + dur);
  }
}

describe("a trace", () => {
  test("of one process has its stages, steps and operations", async () => {
    using folder = new TemporaryFolder();
    const { spans, processNames, ranks } = await traced(folder);
    expect(processNames).toEqual([`rank 0 (pid ${ranks[0]?.pid})`]);
    const stages = spans.filter(({ cat }) => cat === "stages");
    expect(stages.map(({ name }) => name).toSorted()).toEqual([
      "decode",
      "denoise",
      "encodeCondition",
      "encodeImage",
      "encodePrompt",
      "load",
      "step 1",
      "write",
    ]);
    const operations = new Set(spans.filter(({ cat }) => cat === "operations").map(({ name }) => name));
    for (const name of ["linear", "attention"]) expect(operations).toContain(name);
    expectNested(stages);
    expectNested(spans.filter(({ cat }) => cat === "operations"));
  });

  test("of ranks has a process for each, with the collectives and bytes of its ledger", async () => {
    using folder = new TemporaryFolder();
    const { spans, processNames, ranks } = await traced(folder, "--nproc", "3");
    expect(processNames.map(String).toSorted((left, right) => left.localeCompare(right))).toEqual(
      ranks.map(({ rank, pid }) => `rank ${rank} (pid ${pid})`),
    );
    for (const { rank, collectives } of ranks) {
      const own = spans.filter(({ pid }) => pid === rank);
      const counted: Record<string, { count: number; bytesSent: number; bytesReceived: number }> = {};
      for (const { name, args } of own.filter(({ cat }) => cat === "collectives")) {
        const { count, bytesSent, bytesReceived } = counted[name] ?? {
          count: 0,
          bytesSent: 0,
          bytesReceived: 0,
        };
        counted[name] = {
          count: count + 1,
          bytesSent: bytesSent + Number(args?.bytesSent),
          bytesReceived: bytesReceived + Number(args?.bytesReceived),
        };
        expect(args?.group).toBeString();
      }
      expect(counted).toEqual(collectives);
      const stages = own.filter(({ cat }) => cat === "stages");
      expect(stages.map(({ name }) => name).includes("write")).toBe(rank === 0);
      expectNested(stages);
    }
  });

  test("has one clock for all ranks", async () => {
    using folder = new TemporaryFolder();
    const { spans } = await traced(folder, "--nproc", "2", "--ulysses", "2");
    const exchanges = [0, 1].map((rank) =>
      spans.filter(({ pid, name }) => pid === rank && name === "all-to-all"),
    );
    expect(exchanges[0]).not.toEqual([]);
    // Nobody is through with a collective before the other has come to it. Two reads of a clock may be
    // apart for as long as a process is kept waiting for a core, so some milliseconds are left to it.
    const slack = 5000;
    for (const [index, { ts, dur }] of (exchanges[0] ?? []).entries()) {
      const other = exchanges[1]?.[index] as Span;
      expect(Math.max(ts, other.ts)).toBeLessThanOrEqual(Math.min(ts + dur, other.ts + other.dur) + slack);
    }
  });
});
