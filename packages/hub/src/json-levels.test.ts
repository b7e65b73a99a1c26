import { describe, expect, test } from "bun:test";
import { readJsonFile } from "./file-system.ts";
import { isNestedBeyond } from "./json-levels.ts";
import { rejection, TemporaryDirectory } from "./model-fixture.ts";

const nested = (open: string, close: string, depth: number): unknown =>
  JSON.parse(`${open.repeat(depth)}1${close.repeat(depth)}`);

describe("isNestedBeyond", () => {
  test.each([
    ["[", "]"],
    ['{"a":', "}"],
    ['[0,{"a":', ',"b":[]}]'],
  ])("counts the levels of %s", (open, close) => {
    const levels = open.startsWith("[0") ? 4 : 2;
    expect(isNestedBeyond(nested(open, close, 2), levels)).toBe(false);
    expect(isNestedBeyond(nested(open, close, 2), levels - 1)).toBe(true);
    expect(isNestedBeyond(nested(open, close, 5000), 64)).toBe(true);
  });

  test("finds no levels in what isn't nested", () => {
    for (const value of [1, "text", null, true]) expect(isNestedBeyond(value, 0)).toBe(false);
  });
});

test("a config without end is no JSON that is read", async () => {
  await using temporary = await TemporaryDirectory.create();
  const file = await temporary.write("config.json", `${"[".repeat(20_000)}${"]".repeat(20_000)}`);
  expect(await rejection(readJsonFile(file, 1 << 20))).toMatchObject({ code: "invalidJson", path: file });
});
