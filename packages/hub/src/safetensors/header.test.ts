import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SafetensorsError } from "../errors.ts";
import { rejection, safetensors, TemporaryDirectory } from "../model-fixture.ts";
import { nativeWeightFiles } from "../weight-file.ts";
import { parseSafetensorsHeader } from "./header.ts";
import { readSafetensorsHeader } from "./read-header.ts";

const right = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
const entry = (dtype: string, shape: string, begin: number, end: number) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const one = (tensor: string) => `{"a":${tensor}}`;

const openNative = (path: string) => nativeWeightFiles.open(path);

function parse(json: string, dataBytes: number) {
  const bytes = new TextEncoder().encode(json);
  return parseSafetensorsHeader(bytes, "file", 8 + bytes.length + dataBytes);
}

function refusal(json: string, dataBytes: number): SafetensorsError {
  try {
    parse(json, dataBytes);
  } catch (error) {
    if (SafetensorsError.isInstance(error)) return error;
    throw error;
  }
  throw new Error(`taken: ${json}`);
}

describe("parseSafetensorsHeader", () => {
  test("reads tensors in the order of their bytes", () => {
    const json = `{"__metadata__":{"format":"pt"}, "b":${entry("F32", "[2, 3]", 4, 28)},
      "\\u0061":${entry("BF16", "[2]", 0, 4)},"s":${entry("F8_E4M3", "[]", 28, 29)}}  `;
    const header = parse(json, 29);
    expect([...header.tensors.keys()]).toEqual(["a", "b", "s"]);
    expect(header.tensors.get("b")).toEqual({
      dtype: "F32",
      shape: [2, 3],
      offset: 8 + json.length + 4,
      bytes: 24,
    });
    expect(header.metadata).toEqual(new Map([["format", "pt"]]));
  });

  test.each([
    ["", 0, "header", undefined],
    [" {}", 0, "header", undefined],
    ["[]", 0, "header", undefined],
    ["{", 0, "header", undefined],
    ["{} x", 0, "header", undefined],
    ["{,}", 0, "header", undefined],
    [`{"a":${right},}`, 1, "header", undefined],
    [`{"a" ${right}}`, 1, "header", undefined],
    [`{a:${right}}`, 1, "header", undefined],
    [one("1"), 0, "header", "a"],
    [one('["U8",[1],[0,1]]'), 1, "header", "a"],
    [one("{}"), 0, "header", "a"],
    [one('{"dtype":"U8","shape":[]}'), 1, "header", "a"],
    [one(right.replace("{", '{"extra":1,')), 1, "header", "a"],
    [one(right.replace("{", '{"dtype":"U8",')), 1, "header", "a"],
    [one(right.replace("{", '{"shape":[1],')), 1, "header", "a"],
    [one(right.replace("[0,1]", "[0]")), 1, "header", "a"],
    [one(right.replace("[0,1]", "[0,1,1]")), 1, "header", "a"],
    ['{"__metadata__":{"a":1}}', 0, "header", "__metadata__"],
    ['{"__metadata__":[]}', 0, "header", "__metadata__"],
    [`{"\u0001":${right}}`, 1, "header", undefined],
    [`{"\\ud800":${right}}`, 1, "header", undefined],
    [`{"\\x":${right}}`, 1, "header", undefined],
    ['{"a', 0, "header", undefined],
    ['{"a\\"', 0, "header", undefined],
    [`{"a":${right},"a":${right}}`, 1, "duplicateName", "a"],
    [`{"a":${right},"\\u0061":${right}}`, 1, "duplicateName", "a"],
    ['{"__metadata__":{},"__metadata__":{}}', 0, "duplicateName", "__metadata__"],
    ['{"__metadata__":{"k":"1","k":"1"}}', 0, "duplicateName", "__metadata__"],
    [one(entry("F128", "[1]", 0, 16)), 16, "unknownDtype", "a"],
    [one(entry("U8", "[1,1,1,1,1,1,1,1,1]", 0, 1)), 1, "shape", "a"],
    [one(entry("U8", "[4294967296,4294967296]", 0, 1)), 1, "shape", "a"],
    [one(entry("U8", "[4294967296,4294967296,0]", 0, 0)), 0, "shape", "a"],
    [one(entry("F4", "[3]", 0, 1)), 1, "shape", "a"],
    [one(entry("F32", "[1]", 0, 3)), 3, "offsets", "a"],
    [one(entry("F32", "[1]", 4, 0)), 4, "offsets", "a"],
    [one(entry("U8", "[1]", 1, 2)), 2, "offsets", "a"],
    [`{"a":${entry("U8", "[4]", 0, 4)},"b":${entry("U8", "[3]", 5, 8)}}`, 8, "offsets", "b"],
    [`{"a":${entry("U8", "[4]", 0, 4)},"b":${entry("U8", "[5]", 3, 8)}}`, 8, "offsets", "b"],
    [`{"a":${entry("U8", "[8]", 0, 8)},"b":${entry("U8", "[0]", 4, 4)}}`, 8, "offsets", "b"],
    [one(right), 0, "fileLength", undefined],
    [one(right), 2, "fileLength", undefined],
    ["{}", 1, "fileLength", undefined],
  ] as const)("refuses %p with %p bytes of data", (json, dataBytes, code, tensor) => {
    expect(refusal(json, dataBytes)).toMatchObject({ code, tensor, file: "file" });
  });

  test.each(["1.0", "1.5", "-1", "1e2", "01", "+1", "9007199254740992", '"1"', "null", "true", ""])(
    "refuses %p for a count",
    (number) => {
      expect(refusal(one(entry("U8", `[${number}, 1]`, 0, 1)), 1)).toMatchObject({
        code: "header",
        tensor: "a",
      });
      expect(refusal(one(right.replace("[0,1]", `[0,${number}]`)), 1)).toMatchObject({ code: "header" });
    },
  );

  test("refuses bytes that aren't UTF-8", () => {
    const bytes = new TextEncoder().encode(one(right));
    bytes[2] = 0xff;
    expect(() => parseSafetensorsHeader(bytes, "file", 0)).toThrow("expected a header in UTF-8");
  });
});

describe("readSafetensorsHeader", () => {
  test.each([
    ["empty", "", "fileLength"],
    ["short", "{}", "fileLength"],
    ["beyond its end", new Uint8Array([9, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]), "headerLength"],
    ["beyond all bounds", new Uint8Array(16).fill(0xff), "headerLength"],
    ["of another first byte", safetensors("[]"), "header"],
    ["a zip archive", "PK\x03\x04\0\0\x08\x08\0\0\0\0archive/data.pkl", "pickle"],
    ["a pickle", Uint8Array.from(Buffer.from("80028a0a6cfc9c46f9206aa850192e", "hex")), "pickle"],
    ["an LFS pointer", "version https://git-lfs.github.com/spec/v1\noid", "lfsPointer"],
  ])("refuses a file %s, as the native reader does", async (_, content, code) => {
    await using temporary = await TemporaryDirectory.create();
    const file = await temporary.write("a.safetensors", content);
    expect(await rejection(readSafetensorsHeader(file))).toMatchObject({ code, file });
    expect(await rejection(openNative(file))).toMatchObject({ code, file });
  });

  test("refuses a path to nothing and a directory", async () => {
    await using temporary = await TemporaryDirectory.create();
    for (const read of [readSafetensorsHeader, openNative]) {
      expect(await rejection(read(temporary.join("absent")))).toMatchObject({ code: "io" });
      expect(await rejection(read(temporary.path))).toMatchObject({ code: "notAFile" });
    }
  });

  test("takes a header whose length starts as a pickle does", async () => {
    await using temporary = await TemporaryDirectory.create();
    const file = await temporary.write("a.safetensors", safetensors(one(right).padEnd(640), 1));
    expect((await readSafetensorsHeader(file)).tensors.size).toBe(1);
  });

  test("answers mutated files as the native reader does", async () => {
    await using temporary = await TemporaryDirectory.create();
    const valid = `{"__metadata__":{"k":"v"},"a":${entry("F32", "[2,1]", 0, 8)},"b":${entry("BF16", "[3]", 8, 14)}}`;
    const token = fc.constantFrom(
      "0",
      "1",
      "9",
      "-",
      ".0",
      "e1",
      '"',
      ",",
      ":",
      "[",
      "]",
      "{",
      "}",
      "null",
      "b",
      "\\u0061",
      " ",
    );
    const edit = fc.record({
      at: fc.nat(valid.length - 1),
      remove: fc.nat(2),
      insert: fc.oneof(fc.constant(""), token),
    });
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 2 }), fc.nat(2), async (edits, change) => {
        const json = edits.reduce(
          (text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove),
          valid,
        );
        const file = await temporary.write("a.safetensors", safetensors(json, 14 + (change === 0 ? 1 : 0)));
        const outcomes = await Promise.all(
          [readSafetensorsHeader(file), openNative(file)].map((read) =>
            read.then(
              () => "accepted",
              (error: unknown) => {
                if (!SafetensorsError.isInstance(error)) throw error;
                return error.code;
              },
            ),
          ),
        );
        if (outcomes[0] === "accepted") accepted += 1;
        expect(outcomes[0]).toBe(outcomes[1]);
      }),
      { numRuns: 1000, seed: 1 },
    );
    expect(accepted).toBeGreaterThan(50);
  });
});
