import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { TraceSpool } from "./trace-spool.ts";

const own = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("wan-trace-"));

test("a spool gives back what it was given, in pieces, and is no file by any name", () => {
  const before = own();
  using spool = new TraceSpool();
  expect(own()).toEqual(before);
  expect([...spool.pieces(4)]).toEqual([]);
  for (let start = 0; start < 10; start += 5) {
    spool.append(Uint8Array.from([0, 1, 2, 3, 4], (value) => value + start));
  }
  spool.append(new Uint8Array());
  expect(spool.size).toBe(10);
  expect([...spool.pieces(4)].map((piece) => [...piece])).toEqual([
    [0, 1, 2, 3],
    [4, 5, 6, 7],
    [8, 9],
  ]);
  spool.append(Uint8Array.of(10));
  expect([...spool.pieces(100)].map((piece) => piece.length)).toEqual([11]);
});
