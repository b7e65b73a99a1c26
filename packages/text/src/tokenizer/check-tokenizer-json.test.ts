import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { charsmapFault } from "./check-charsmap.ts";
import { checkTokenizerJson } from "./check-tokenizer-json.ts";
import { TokenizerFileError } from "./tokenizer-file-error.ts";

const file = join(import.meta.dir, "../../fixtures/tokenizers/umt5-like/tokenizer.json");
const text = await Bun.file(file).text();
const charsmap: string = JSON.parse(text).normalizer.normalizers[0].precompiled_charsmap;

/** The charsmap with its bytes changed. */
function changed(change: (bytes: Uint8Array, trieBytes: number) => Uint8Array | undefined): string {
  const bytes = Uint8Array.fromBase64(charsmap);
  const trieBytes = new DataView(bytes.buffer).getUint32(0, true);
  return (change(bytes, trieBytes) ?? bytes).toBase64();
}

describe("charsmapFault", () => {
  test("finds none in sentencepiece's own", () => {
    expect(charsmapFault(charsmap)).toBeNull();
  });

  test.each([
    ["", "0 bytes"],
    ["AAAA", "says that 0"],
    ["/////w==", "says that 4294967295"],
    ["not base64!", "isn't base64"],
    [`${charsmap} `, "isn't base64"],
    [`${charsmap.slice(0, 8)}\n${charsmap.slice(8)}`, "isn't base64"],
    [charsmap.slice(0, 4000), "of them are its trie"],
    [changed((bytes) => bytes.fill(0xff, bytes.length - 9)), "aren't UTF-8"],
    [changed((bytes, trieBytes) => bytes.slice(0, trieBytes + 4)), "no text begins"],
    [changed((bytes) => bytes.fill(0xff, 4, 8)), "leads out of itself"],
  ])("tells what is wrong with %#", (broken, fault) => {
    expect(charsmapFault(broken)).toContain(fault);
  });

  test("ends on a trie that leads back into itself", () => {
    const loop = changed((bytes, trieBytes) => {
      const units = new DataView(bytes.buffer, 4, trieBytes);
      for (let index = 0; index < trieBytes / 4; index++) units.setUint32(4 * index, index & 0xff, true);
    });
    expect(charsmapFault(loop)).toBeNull();
  });
});

describe("checkTokenizerJson", () => {
  const check = (json: string) => checkTokenizerJson(json, file);
  const template = (special_tokens: object) =>
    JSON.stringify({
      post_processor: {
        type: "Sequence",
        processors: [
          {
            type: "TemplateProcessing",
            single: [{ Sequence: { id: "A" } }, { SpecialToken: { id: "</s>" } }],
            pair: [],
            special_tokens,
          },
        ],
      },
    });

  test("passes a sound file", () => {
    expect(() => check(text)).not.toThrow();
    expect(() => check("{}")).not.toThrow();
    expect(() => check(template({ "</s>": {} }))).not.toThrow();
  });

  test("returns what it checked, whatever else stands under the same key", () => {
    expect(JSON.parse(check(text))).toEqual(JSON.parse(text));
    expect(check(`{"normalizer": {"type": "Precompiled"}, "normalizer": null}`)).toBe('{"normalizer":null}');
  });

  test.each([100, 1000, 10_000, 100_000])("survives %p levels", (levels) => {
    const nested = (open: string, close: string) => `${open.repeat(levels)}null${close.repeat(levels)}`;
    for (const json of [
      `{"model":${nested("[", "]")}}`,
      `{"normalizer":${nested('{"type":"Sequence","normalizers":[', "]}")}}`,
    ]) {
      // How many are too many is a matter of the stack; a fault of no type is wrong at any number.
      try {
        expect(check(json)).toBe(json);
      } catch (error) {
        expect(error).toBeInstanceOf(TokenizerFileError);
      }
    }
  });

  test.each([
    ["{", "isn't JSON"],
    ["3", "isn't a JSON object"],
    [`{"normalizer": 3}`, "normalizer without a type"],
    [`{"normalizer": {"type": "Precompiled"}}`, "without precompiled_charsmap"],
    [
      `{"normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AAAA"}]}}`,
      "precompiled_charsmap that has 3 bytes",
    ],
    [`{"post_processor": []}`, "post_processor without a type"],
    [`{"post_processor": {"type": "TemplateProcessing"}}`, "without single, pair or special_tokens"],
    [template({}), `puts "</s>"`],
    [template({}).replace("TemplateProcessing", "templateprocessing"), `puts "</s>"`],
    [
      `{"normalizer": {"type": "charsmap", "precompiled_charsmap": "AAAA"}}`,
      "precompiled_charsmap that has 3 bytes",
    ],
  ])("tells of %#", (json, fault) => {
    expect(() => check(json)).toThrow(fault);
  });
});
