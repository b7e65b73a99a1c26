import { describe, expect, test } from "bun:test";
import { fixtureCases, relativeDistance } from "@wan-ts/test/fixture-cases.ts";
import { generateFixture } from "@wan-ts/test/generate-fixture.ts";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { testDevice } from "./test-device.ts";
import { modelTolerance } from "./tolerances.ts";

const device = testDevice();
expectNothingLeft();

describe(`diffusers' latents and frames on ${device}`, () => {
  for (const fixture of fixtureCases()) {
    test(`${fixture.name} (${fixture.params.dtype})`, async () => {
      const expected = await fixture.expected();
      using result = await generateFixture(fixture, {}, { device });
      const limit = modelTolerance[fixture.params.dtype] ?? 0;
      expect(relativeDistance(await result.latents.floats(), expected.latents)).toBeLessThan(limit);
      expect(relativeDistance(result.frames.data, expected.frames)).toBeLessThan(limit);
    });
  }
});
