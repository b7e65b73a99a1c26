import { afterEach, describe, expect, test } from "bun:test";
import { memory, synchronize, Tensor } from "@wan-ts/tensor";
import { BenchmarkError } from "./case.ts";
import { families } from "./families.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

// Families whose inputs are made in no time; the models' are tried by running the benchmarks.
for (const name of ["attention", "fused"]) {
  describe(`the check of ${name}`, () => {
    const cases = families.find((family) => family.name === name)?.cases ?? [];
    const shortest = cases.filter((each) => name === "fused" || each.case.includes("keys 257")).slice(0, 6);
    for (const each of shortest) {
      test(`takes what is right and refuses what is a little wrong: ${each.case}, ${each.dtype}`, async () => {
        using prepared = await each.prepare("cpu");
        using output = await prepared.run();
        await prepared.check(output);
        const values = await output.floats();
        const wrong = values.map((value, at) => (at === values.length - 1 ? value + 0.1 : value));
        using damaged = Tensor.from(wrong, output.shape, each.dtype);
        const error = await prepared.check(damaged).catch((caught: unknown) => caught);
        expect(error).toBeInstanceOf(BenchmarkError);
      });
    }
  });
}
