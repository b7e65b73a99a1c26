import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import recorded from "../../fixtures/random.json";
import { Generator, GeneratorArgumentError } from "./index.ts";

function sha256(values: Float32Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

describe("torch's CPU generator", () => {
  for (const { seed, initialSeed, draws } of recorded.cases) {
    test(`of seed ${seed} draws ${draws.map(({ count }) => count).join(", ")}, bit for bit`, () => {
      const generator = new Generator(BigInt(seed));
      expect(generator.initialSeed).toBe(BigInt(initialSeed));
      for (const draw of draws) {
        const values = generator.randn(draw.count);
        expect([...values.slice(-20)]).toEqual((draw.values ?? draw.last).slice(-20));
        expect(sha256(values)).toBe(draw.sha256);
      }
    });
  }
});

describe("Generator", () => {
  test("takes a number for the bigint of the same value", () => {
    expect(new Generator(42).randn(40)).toEqual(new Generator(42n).randn(40));
  });

  test("doesn't meet another of the same seed", () => {
    const apart = [new Generator(9), new Generator(9)];
    expect(apart.map((generator) => generator.randn(33))).toEqual([
      new Generator(9).randn(33),
      new Generator(9).randn(33),
    ]);
  });

  test("makes whole blocks that don't depend on the length of the draw", () => {
    const prefix = fc.property(fc.integer(), fc.integer({ min: 1, max: 8 }), (seed, blocks) => {
      const long = new Generator(seed).randn(blocks * 16 + 32);
      expect(new Generator(seed).randn(blocks * 16)).toEqual(long.slice(0, blocks * 16));
    });
    fc.assert(prefix, { numRuns: 30 });
  });

  test.each([1.5, Number.NaN, 2 ** 53, -(2n ** 63n) - 1n, 2n ** 64n])("refuses seed %p", (seed) => {
    expect(() => new Generator(seed)).toThrow(GeneratorArgumentError);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 31])("refuses count %p", (count) => {
    expect(() => new Generator(1).randn(count)).toThrow("count of the random generator");
  });
});
