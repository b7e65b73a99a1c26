import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import recorded from "../fixtures/prompts.json";
import { cleanPrompt } from "./clean-prompt.ts";

describe("cleanPrompt", () => {
  test("equals diffusers' prompt_clean on sound and damaged prompts", () => {
    expect(recorded.cases.length).toBeGreaterThan(250);
    for (const { text, clean } of recorded.cases) expect(cleanPrompt(text)).toBe(clean);
  });

  test.each([
    ["l’humanitÃ©", "l'humanité"],
    ["âœ” No problems", "✔ No problems"],
    ["ＬＯＵＤ　ＮＯＩＳＥＳ", "LOUD NOISES"],
    ["  A cat &amp;amp; a dog,  “wearing” ‘sun’ glasses ", "A cat & a dog, \"wearing\" 'sun' glasses"],
    ["色调艳丽，过曝", "色调艳丽,过曝"],
  ])("mends %p", (text, clean) => {
    expect(cleanPrompt(text)).toBe(clean);
  });

  test("leaves plain text alone", () => {
    const plain = fc.stringMatching(/^[A-Za-z0-9]+( [A-Za-z0-9,.]+){0,8}$/);
    fc.assert(fc.property(plain, (text) => expect(cleanPrompt(text)).toBe(text)));
  });

  test("gives well-formed text without odd spaces for any input", () => {
    const oddSpace = /[\t\n\r\f\v\x85\xa0]|\p{Zs}{2}|^ | $/u;
    const clean = fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      const cleaned = cleanPrompt(text);
      expect(cleaned.isWellFormed()).toBe(true);
      expect(oddSpace.test(cleaned)).toBe(false);
    });
    fc.assert(clean, { numRuns: 300 });
  });

  test("takes a megabyte of whitespace in linear time", () => {
    expect(cleanPrompt(`a${" \t".repeat(500_000)}b`)).toBe("a b");
  });
});
