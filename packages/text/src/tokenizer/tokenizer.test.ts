import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import recorded from "../../fixtures/tokens.json";
import { MaxLengthError, Tokenizer, TokenizerFileError, type TokenizerFileErrorCode } from "../index.ts";

const fixtures = join(import.meta.dir, "../../fixtures/tokenizers");

describe("encode", () => {
  for (const name of ["umt5-like", "stored-truncation"]) {
    test(`pads and truncates as transformers does, with ${name}`, async () => {
      const tokenizer = await Tokenizer.fromDirectory(join(fixtures, name));
      const cases = recorded.cases.filter((one) => one.tokenizer === name);
      expect(cases.length).toBeGreaterThan(50);
      for (const { text, maxLength, ids, padId } of cases) {
        const encoded = await tokenizer.encode(text, { maxLength });
        const padding = new Array<number>(maxLength - ids.length).fill(padId);
        expect([...encoded.ids]).toEqual([...ids, ...padding]);
        expect([...encoded.attentionMask]).toEqual([...ids.map(() => 1), ...padding.map(() => 0)]);
        expect(encoded.length).toBe(ids.length);
      }
    });
  }

  test("gives calls at the same time each their own length", async () => {
    const tokenizer = await Tokenizer.fromDirectory(join(fixtures, "umt5-like"));
    const lengths = Array.from({ length: 20 }, (_, index) => index + 1);
    const encoded = await Promise.all(
      lengths.map((maxLength) => tokenizer.encode("word ".repeat(50), { maxLength })),
    );
    expect(encoded.map(({ ids }) => ids.length)).toEqual(lengths);
    expect(encoded.map(({ ids }) => ids.at(-1))).toEqual(lengths.map(() => 1));
  });

  test("ends any text with the end token and padding alone", async () => {
    const tokenizer = await Tokenizer.fromDirectory(join(fixtures, "umt5-like"));
    const ends = fc.asyncProperty(
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 1, max: 24 }),
      async (text, maxLength) => {
        const { ids, attentionMask, length } = await tokenizer.encode(text, { maxLength });
        expect(ids[length - 1]).toBe(1);
        expect([...ids.slice(length)].every((id) => id === tokenizer.padId)).toBe(true);
        expect(attentionMask.reduce((sum, one) => sum + one, 0)).toBe(length);
      },
    );
    await fc.assert(ends, { numRuns: 60 });
  });

  test.each([0, -1, 1.5, Number.NaN, 1e9])("refuses a length of %p", async (maxLength) => {
    const tokenizer = await Tokenizer.fromDirectory(join(fixtures, "umt5-like"));
    expect(await tokenizer.encode("a", { maxLength }).catch((error: unknown) => error)).toBeInstanceOf(
      MaxLengthError,
    );
  });
});

describe("fromDirectory", () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "tokenizer-"));
  });
  afterAll(() => rm(directory, { recursive: true }));

  const good = Bun.file(join(fixtures, "stored-truncation/tokenizer.json"));
  const config = `{ "pad_token": "<pad>" }`;

  async function refusal(files: Readonly<Record<string, string | Uint8Array>>): Promise<TokenizerFileError> {
    const place = await mkdtemp(join(directory, "case-"));
    for (const [name, content] of Object.entries(files)) await Bun.write(join(place, name), content);
    const error = await Tokenizer.fromDirectory(place).catch((reason: unknown) => reason);
    if (error instanceof TokenizerFileError) return error;
    throw new Error(`expected a TokenizerFileError, got ${String(error)}`);
  }

  const faults: [
    string,
    TokenizerFileErrorCode,
    string,
    (json: string) => Record<string, string | Uint8Array>,
  ][] = [
    [
      "no tokenizer.json",
      "TOKENIZER_FILE_MISSING",
      "tokenizer.json",
      () => ({ "tokenizer_config.json": config }),
    ],
    ["no config", "TOKENIZER_FILE_MISSING", "tokenizer_config.json", (json) => ({ "tokenizer.json": json })],
    [
      "an empty file",
      "TOKENIZER_FILE_INVALID",
      "tokenizer.json",
      () => ({ "tokenizer.json": "", "tokenizer_config.json": config }),
    ],
    [
      "a file cut short",
      "TOKENIZER_FILE_INVALID",
      "tokenizer.json",
      (json) => ({ "tokenizer.json": json.slice(0, 4000), "tokenizer_config.json": config }),
    ],
    [
      "JSON of something else",
      "TOKENIZER_FILE_INVALID",
      "tokenizer.json",
      () => ({ "tokenizer.json": `{"model": {"type": "None"}}`, "tokenizer_config.json": config }),
    ],
    [
      "bytes that aren't UTF-8",
      "TOKENIZER_FILE_INVALID",
      "tokenizer.json",
      () => ({ "tokenizer.json": new Uint8Array([0x7b, 0xff]), "tokenizer_config.json": config }),
    ],
    [
      "a config that isn't JSON",
      "TOKENIZER_FILE_INVALID",
      "tokenizer_config.json",
      (json) => ({ "tokenizer.json": json, "tokenizer_config.json": "pad" }),
    ],
    [
      "a pad token of no type",
      "TOKENIZER_FILE_INVALID",
      "tokenizer_config.json",
      (json) => ({ "tokenizer.json": json, "tokenizer_config.json": `{"pad_token": 3}` }),
    ],
    [
      "a pad token unknown to the vocabulary",
      "TOKENIZER_FILE_INVALID",
      "tokenizer_config.json",
      (json) => ({ "tokenizer.json": json, "tokenizer_config.json": `{"pad_token": "<nothing>"}` }),
    ],
    [
      "padding on the left",
      "TOKENIZER_OPTION_UNSUPPORTED",
      "tokenizer_config.json",
      (json) => ({ "tokenizer.json": json, "tokenizer_config.json": `{"padding_side": "left"}` }),
    ],
  ];
  test.each(faults)("tells of %s", async (_, code, name, files) => {
    const error = await refusal(files(await good.text()));
    expect(error.code).toBe(code);
    expect(error.file.endsWith(name)).toBe(true);
    expect(error.message).toStartWith(error.file);
  });

  test("tells of a token whose id no model has", async () => {
    const json = JSON.parse(await good.text()) as {
      post_processor: { special_tokens: Record<string, { ids: number[] }> };
    };
    for (const token of Object.values(json.post_processor.special_tokens)) token.ids = [2 ** 32 - 1];
    const error = await refusal({ "tokenizer.json": JSON.stringify(json), "tokenizer_config.json": config });
    expect(error.code).toBe("TOKENIZER_FILE_INVALID");
    expect(error.message).toContain("4294967295");
  });

  test("tells of a vocabulary without an unknown token when a text needs one", async () => {
    const place = await mkdtemp(join(directory, "case-"));
    const json = JSON.parse(await Bun.file(join(fixtures, "umt5-like/tokenizer.json")).text()) as {
      model: { unk_id: number | null; byte_fallback: boolean };
    };
    json.model.unk_id = null;
    json.model.byte_fallback = false;
    await Bun.write(join(place, "tokenizer.json"), JSON.stringify(json));
    await Bun.write(join(place, "tokenizer_config.json"), config);
    const tokenizer = await Tokenizer.fromDirectory(place);
    const error = await tokenizer.encode("日本", { maxLength: 8 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TokenizerFileError);
    expect(error).toMatchObject({ code: "TOKENIZER_FILE_INVALID", file: join(place, "tokenizer.json") });
  });

  test("tells of a pad token without end in a message that ends", async () => {
    const error = await refusal({
      "tokenizer.json": await good.text(),
      "tokenizer_config.json": JSON.stringify({ pad_token: "<pad>".repeat(10_000) }),
    });
    expect(error.reason.length).toBeGreaterThan(50_000);
    expect(error.message.length).toBeLessThan(error.file.length + 510);
  });

  test("tells of a config too large to read", async () => {
    const error = await refusal({
      "tokenizer.json": await good.text(),
      "tokenizer_config.json": " ".repeat(17 * 2 ** 20),
    });
    expect(error.code).toBe("TOKENIZER_FILE_TOO_LARGE");
  });

  test("tells an absent file from one that the system won't open", async () => {
    expect((await refusal({})).reason).toBe("there is no such file, and a tokenizer needs it");
    const unopened = await Tokenizer.fromDirectory(join(directory, "n".repeat(300))).catch(String);
    expect(unopened).toMatch(/tokenizer\.json: can't be read: ENAMETOOLONG/);
  });

  test("reads a pad token written as an added token, and T5's where there is none", async () => {
    for (const text of [`{"pad_token": {"content": "<unk>", "special": true}}`, "{}"]) {
      const place = await mkdtemp(join(directory, "case-"));
      await Bun.write(join(place, "tokenizer.json"), await good.text());
      await Bun.write(join(place, "tokenizer_config.json"), text);
      expect((await Tokenizer.fromDirectory(place)).padId).toBe(text === "{}" ? 0 : 2);
    }
  });
});
