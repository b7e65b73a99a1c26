import { expect, test } from "bun:test";
import { collectivesByKind } from "./rank-facts.ts";

test("collectives are told by kind, and by group within each", () => {
  const entry = (group: string, collective: string, count: number) => ({
    group,
    collective,
    count,
    bytesSent: count * 10,
    bytesReceived: count * 100,
  });
  expect(
    collectivesByKind([
      entry("ulysses", "all-to-all", 3),
      entry("world", "all-gather", 1),
      entry("cfg", "all-gather", 2),
    ]),
  ).toEqual({
    "all-to-all": {
      count: 3,
      bytesSent: 30,
      bytesReceived: 300,
      groups: { ulysses: { count: 3, bytesSent: 30, bytesReceived: 300 } },
    },
    "all-gather": {
      count: 3,
      bytesSent: 30,
      bytesReceived: 300,
      groups: {
        world: { count: 1, bytesSent: 10, bytesReceived: 100 },
        cfg: { count: 2, bytesSent: 20, bytesReceived: 200 },
      },
    },
  });
  expect(collectivesByKind([])).toEqual({});
});
