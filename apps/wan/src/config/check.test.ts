import { describe, expect, test } from "bun:test";
import { InputError } from "../input-error.ts";
import { checkConfig, namedByFile } from "./check.ts";
import { checkpointDefaultsSchema } from "./schema.ts";

const inFile = namedByFile("wan.config.json");

function refusal(value: unknown): string {
  try {
    checkConfig(value, inFile);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error(`${JSON.stringify(value)} was taken`);
}

describe("checkConfig", () => {
  test("takes every group, and keys left out", () => {
    const config = { prompt: "p", attention: { backend: "native" }, output: { quiet: true } };
    expect(checkConfig(config, inFile)).toEqual(config);
    expect(checkConfig({}, inFile)).toEqual({});
  });

  test("suggests the nearest of the keys beside an unknown one", () => {
    expect(refusal({ promt: "p" })).toBe(
      '"promt" in wan.config.json is not a config key; did you mean "prompt"?',
    );
    expect(refusal({ output: { flie: "a.mp4" } })).toBe(
      '"output.flie" in wan.config.json is not a config key; did you mean "file"?',
    );
  });

  test("finds a key that stands in the wrong group", () => {
    expect(refusal({ backend: "native" })).toContain('did you mean "attention.backend"?');
    expect(refusal({ quiet: true })).toContain('did you mean "output.quiet"?');
  });

  test("suggests nothing where nothing is near", () => {
    expect(refusal({ temperature: 1 })).toBe('"temperature" in wan.config.json is not a config key');
  });

  test("names the key, the rule and the value", () => {
    expect(refusal({ steps: "12" })).toBe('"steps" in wan.config.json must be a whole number, but is "12"');
    expect(refusal({ output: { json: 1 } })).toBe(
      '"output.json" in wan.config.json must be true or false, but is 1',
    );
    expect(refusal({ prompt: 5 })).toBe('"prompt" in wan.config.json must be text, but is 5');
    expect(refusal({ fps: Number.POSITIVE_INFINITY })).toContain("but is Infinity");
    expect(refusal([])).toBe("wan.config.json must be an object, but is []");
    expect(refusal(undefined)).toBe("wan.config.json must be an object, but is missing");
  });

  test("shows only the beginning of a long value", () => {
    const message = refusal({ prompt: "x".repeat(100_001) });
    expect(message).toContain("at most 100000 characters");
    expect(message.length).toBeLessThan(300);
  });

  test("refuses what this version doesn't have, unless it asks for nothing", () => {
    expect(refusal({ cache: "teacache" })).toBe(
      '"cache" in wan.config.json is not available in this version of wan-ts',
    );
    expect(checkConfig({ cache: undefined }, inFile)).toBeDefined();
  });

  test("holds defaults of a checkpoint to what is shown", () => {
    const defaults = { prompt: "p", frames: 17 };
    expect(checkConfig(defaults, inFile, checkpointDefaultsSchema)).toEqual(defaults);
    for (const [key, value] of [
      ["output", { file: "/etc/passwd" }],
      ["model", "elsewhere"],
      ["threads", 1],
    ] as const) {
      expect(() => checkConfig({ [key]: value }, inFile, checkpointDefaultsSchema)).toThrow(`"${key}"`);
    }
  });
});
