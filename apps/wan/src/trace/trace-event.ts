import type { TraceEvent } from "@wan-ts/tensor";

/** What a row of the trace is about: one thread of the format, below the process that is the rank. */
export type TraceRow = "stages" | "operations" | "collectives";

/** In the order in which viewers show them. */
const rows: readonly TraceRow[] = ["stages", "operations", "collectives"];

/** A span of time, in microseconds. */
export interface Span {
  readonly row: TraceRow;
  readonly name: string;
  readonly start: number;
  readonly duration: number;
  readonly args?: Readonly<Record<string, string | number>>;
}

/** The span of an operation that ran. */
export function operationSpan({ operation, start, duration, traffic }: TraceEvent): Span {
  return traffic
    ? { row: "collectives", name: operation, start, duration, args: { ...traffic } }
    : { row: "operations", name: operation, start, duration };
}

/**
 * A complete event (`"ph":"X"`) of Chrome's trace format, which Perfetto reads: process `rank`, the
 * row's thread. Times with their nanoseconds.
 */
export function spanJson(rank: number, { row, name, start, duration, args }: Span): string {
  const [ts, dur] = [start, duration].map((time) => Math.round(time * 1000) / 1000);
  return JSON.stringify({ name, cat: row, ph: "X", ts, dur, pid: rank, tid: rows.indexOf(row), args });
}

/** Names of a rank and its rows, as metadata events (`"ph":"M"`). */
export function namesJson(rank: number, pid: number): string[] {
  const name = (event: string, tid: number, args: Record<string, string | number>): string =>
    JSON.stringify({ name: event, ph: "M", pid: rank, tid, args });
  return [
    name("process_name", 0, { name: `rank ${rank} (pid ${pid})` }),
    name("process_sort_index", 0, { sort_index: rank }),
    ...rows.flatMap((row, tid) => [
      name("thread_name", tid, { name: row }),
      name("thread_sort_index", tid, { sort_index: tid }),
    ]),
  ];
}
