import { afterEach, describe, expect, test } from "bun:test";
import { memory, synchronize } from "@wan-ts/tensor";
import { fixtureCases, relativeDistance } from "./fixture-cases.ts";
import { generateFixture } from "./generate-fixture.ts";

/**
 * Two right float32 implementations part by about 1e-6 here, a single mistake in a rarely used branch
 * by 2e-5 and more.
 */
const float32Distance = 5e-6;
/** Two right bfloat16 implementations part by about as much as bfloat16 from float32: 0.01 to 0.02. */
const bfloat16Distance = 0.03;

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

describe("diffusers' latents and frames", () => {
  for (const fixture of fixtureCases()) {
    test(`${fixture.name} (${fixture.params.dtype})`, async () => {
      const expected = await fixture.expected();
      using result = await generateFixture(fixture);
      const limit = fixture.params.dtype === "float32" ? float32Distance : bfloat16Distance;
      expect(relativeDistance(await result.latents.floats(), expected.latents)).toBeLessThan(limit);
      expect(relativeDistance(result.frames.data, expected.frames)).toBeLessThan(limit);
    });
  }
});
