import { expect, test } from "bun:test";
import { namesJson, operationSpan, spanJson } from "./trace-event.ts";

const parsed = (json: string): unknown => JSON.parse(json);

test("operations and collectives are complete events of their rows, collectives with their bytes", () => {
  const add = operationSpan({ operation: "add", start: 1.23456, duration: 2 });
  expect(parsed(spanJson(3, add))).toEqual({
    ...{ name: "add", cat: "operations", ph: "X" },
    ...{ ts: 1.235, dur: 2, pid: 3, tid: 1 },
  });
  const traffic = { group: "ulysses", bytesSent: 5, bytesReceived: 7 };
  const exchange = operationSpan({ operation: "all-to-all", start: 0, duration: 1, traffic });
  expect(parsed(spanJson(0, exchange))).toMatchObject({ cat: "collectives", tid: 2, args: traffic });
});

test("a rank and its rows have names", () => {
  const events = namesJson(2, 4711).map(parsed);
  expect(events).toContainEqual({
    ...{ name: "process_name", ph: "M", pid: 2, tid: 0 },
    args: { name: "rank 2 (pid 4711)" },
  });
  const threads = events.filter((event) => (event as { name: string }).name === "thread_name");
  expect(threads.map((event) => (event as { args: { name: string } }).args.name)).toEqual([
    "stages",
    "operations",
    "collectives",
  ]);
});
