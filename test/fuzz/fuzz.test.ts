import { describe, expect, test } from "bun:test";
import { readFuzzArguments } from "./arguments.ts";
import { fuzzInChild } from "./fuzz-in-child.ts";
import { accepted, type FuzzInput, type FuzzTarget } from "./fuzz-target.ts";
import { FuzzRandom } from "./random.ts";
import { FuzzFailure, inputOf, runCases } from "./run-cases.ts";
import { fuzzTargets } from "./targets/index.ts";

/** Few enough for a second or two each; `bun run fuzz` runs a million. */
const cases: Readonly<Record<string, number>> = {
  safetensors: 1000,
  configs: 600,
  tokenizer: 150,
  images: 1000,
  "app-config": 1500,
};

describe("what strangers write is refused with a type or read right", () => {
  for (const target of fuzzTargets) {
    test(
      target.name,
      async () => {
        const tally = await runCases(target, { seed: 1, cases: cases[target.name] ?? 0 });
        const refused = [...tally].filter(([outcome]) => outcome !== accepted);
        // A mutation that always or never damages would test one half alone.
        expect(tally.get(accepted) ?? 0).toBeGreaterThan(20);
        expect(refused.reduce((sum, [, count]) => sum + count, 0)).toBeGreaterThan(100);
      },
      { timeout: 60_000 },
    );
  }
});

/** Reads a number below 100, and fails in the way its input says. */
const failing: FuzzTarget = {
  name: "failing",
  maxResidentBytes: 2 ** 40,
  open: () =>
    Promise.resolve({
      input: (random) => ({ place: "number", bytes: Uint8Array.of(random.below(100)) }),
      run: ({ bytes }) =>
        bytes[0] === 7 ? Promise.reject(new TypeError("seven")) : Promise.resolve(accepted),
    }),
};

describe("the fuzzer", () => {
  test("gives each seed the same input, and different seeds different ones", async () => {
    for (const target of fuzzTargets) {
      const inputs = await Promise.all([1, 2, 3].map((seed) => inputOf(target, seed)));
      expect(await inputOf(target, 3)).toEqual(inputs[2] as FuzzInput);
      expect(new Set(inputs.map(({ bytes }) => Bun.hash(bytes))).size).toBeGreaterThan(1);
    }
  });

  test("tells the seed at which a reader fails, which fails alone too", async () => {
    const failure = await runCases(failing, { seed: 0, cases: 1000 }).catch((error: unknown) => error);
    if (!(failure instanceof FuzzFailure)) throw new Error(`expected a FuzzFailure, got ${String(failure)}`);
    expect(failure).toMatchObject({ target: "failing", input: { place: "number", bytes: Uint8Array.of(7) } });
    const before = await runCases(failing, { seed: 0, cases: failure.seed });
    expect(before.get(accepted)).toBe(failure.seed);
    const alone = runCases(failing, { seed: failure.seed, cases: 1 });
    expect(await alone.catch((error: unknown) => (error as FuzzFailure).seed)).toBe(failure.seed);
  });

  test("takes memory beyond a target's limit for a failure", async () => {
    const greedy = { ...failing, maxResidentBytes: -1 };
    expect(await runCases(greedy, { seed: 0, cases: 1 }).catch((error: unknown) => error)).toBeInstanceOf(
      FuzzFailure,
    );
  });

  test("counts the cases that a process of its own ran", async () => {
    const target = fuzzTargets.find(({ name }) => name === "app-config") as FuzzTarget;
    const { tally, failure } = await fuzzInChild(target, { seed: 5, cases: 40 });
    expect(failure).toBeUndefined();
    expect([...tally.values()].reduce((sum, count) => sum + count, 0)).toBe(40);
  });

  test("draws numbers of the whole range, from seeds beyond 32 bits too", () => {
    const random = new FuzzRandom(2 ** 40 + 1);
    const drawn = Array.from({ length: 4000 }, () => random.below(10));
    for (let value = 0; value < 10; value++)
      expect(drawn.filter((one) => one === value).length).toBeGreaterThan(300);
    expect(new FuzzRandom(2 ** 40 + 1).uint32()).not.toBe(new FuzzRandom(1).uint32());
  });

  test("reads its command line", () => {
    expect(readFuzzArguments([])).toMatchObject({
      seed: 1,
      cases: 1_000_000,
      keepGoing: false,
      targets: fuzzTargets,
    });
    expect(
      readFuzzArguments(["--only", "images,configs", "--cases", "3", "--seed", "9", "--keep-going"]),
    ).toMatchObject({
      seed: 9,
      cases: 3,
      keepGoing: true,
      targets: [{ name: "configs" }, { name: "images" }],
    });
    expect(readFuzzArguments(["--only", "nothing"])).toContain("targets are safetensors");
    expect(readFuzzArguments(["--cases", "0"])).toContain("--cases");
    expect(readFuzzArguments(["--seed", "-1"])).toContain("--seed");
    expect(readFuzzArguments(["--sead", "1"])).toContain("--sead");
  });
});
