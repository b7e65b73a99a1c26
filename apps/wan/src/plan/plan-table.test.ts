import { expect, test } from "bun:test";
import { formatBytes, formatCount } from "./plan-table.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [10 * 1024, "10.0 KiB"],
  [300 * 2 ** 20, "300 MiB"],
  [31.25 * 2 ** 30, "31.3 GiB"],
  [5 * 2 ** 50, "5.0 PiB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0, "0 "],
  [999, "999 "],
  [1000, "1.00 k"],
  [14_288_491_584, "14.3 G"],
  [2.5e18, "2.50 E"],
])("%d is %s", (count, text) => {
  expect(formatCount(count)).toBe(text);
});
