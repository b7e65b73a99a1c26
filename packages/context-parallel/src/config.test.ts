import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ContextParallelConfig, type ContextParallelOptions, chooseDegrees } from "./config.ts";
import { ContextParallelError } from "./errors.ts";

function refusal(
  options: ContextParallelOptions,
  worldSize: number,
  heads: number,
  guided?: boolean,
): string {
  try {
    chooseDegrees(options, { worldSize, heads, guided });
  } catch (error) {
    if (ContextParallelError.isInstance(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "none";
}

describe("ContextParallelConfig", () => {
  test("is frozen, and keeps what is left out open", () => {
    const config = new ContextParallelConfig({ ulyssesDegree: 2 });
    expect(Object.isFrozen(config)).toBe(true);
    expect(config).toMatchObject({ ulyssesDegree: 2, ringDegree: undefined, cfgParallel: undefined });
  });

  test("refuses degrees that are no counts", () => {
    for (const degree of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => new ContextParallelConfig({ ringDegree: degree })).toThrow(
        `ringDegree must be a whole number of at least 1, but is ${degree}`,
      );
    }
  });
});

describe("chooseDegrees", () => {
  test("takes what is said", () => {
    const setting = { worldSize: 8, heads: 12 };
    expect(chooseDegrees({ ulyssesDegree: 4, ringDegree: 2 }, setting)).toEqual({
      cfg: 1,
      ring: 2,
      ulysses: 4,
    });
    expect(chooseDegrees({ ulyssesDegree: 4 }, setting)).toEqual({ cfg: 1, ring: 2, ulysses: 4 });
    expect(chooseDegrees({ ringDegree: 8 }, setting)).toEqual({ cfg: 1, ring: 8, ulysses: 1 });
    expect(chooseDegrees({ cfgParallel: true, ringDegree: 2 }, setting)).toEqual({
      cfg: 2,
      ring: 2,
      ulysses: 2,
    });
  });

  test("without numbers: prompts first, then heads as far as there are, then a ring", () => {
    expect(chooseDegrees({}, { worldSize: 8, heads: 40, guided: true })).toEqual({
      cfg: 2,
      ring: 1,
      ulysses: 4,
    });
    expect(chooseDegrees({}, { worldSize: 8, heads: 40 })).toEqual({ cfg: 1, ring: 1, ulysses: 8 });
    expect(chooseDegrees({}, { worldSize: 5, heads: 12 })).toEqual({ cfg: 1, ring: 1, ulysses: 5 });
    expect(chooseDegrees({}, { worldSize: 16, heads: 12 })).toEqual({ cfg: 1, ring: 4, ulysses: 4 });
    expect(chooseDegrees({}, { worldSize: 7, heads: 5 })).toEqual({ cfg: 1, ring: 7, ulysses: 1 });
    expect(chooseDegrees({ cfgParallel: false }, { worldSize: 2, heads: 2, guided: true })).toEqual({
      cfg: 1,
      ring: 1,
      ulysses: 2,
    });
  });

  test("every illegal combination has its own message", () => {
    expect(refusal({ ulyssesDegree: 3 }, 4, 12)).toBe(
      "worldSize: the number of ranks must be a multiple of 3 for ulyssesDegree 3, but is 4",
    );
    expect(refusal({ ulyssesDegree: 2, ringDegree: 3 }, 4, 12)).toBe(
      "worldSize: the number of ranks must be 6 for ulyssesDegree 2 × ringDegree 3, but is 4",
    );
    expect(refusal({ ulyssesDegree: 8 }, 8, 5)).toBe(
      "heads: ulyssesDegree must be at most 5, the number of heads, but is 8",
    );
    expect(refusal({ ringDegree: 1 }, 8, 5)).toBe(
      "heads: ringDegree must be at least 2 for 8 ranks and 5 heads, but is 1",
    );
    expect(refusal({ cfgParallel: true }, 3, 5)).toBe(
      "worldSize: cfgParallel must be off for 3 ranks, an odd number, but is on",
    );
    expect(refusal({ cfgParallel: true }, 2, 5, false)).toBe(
      "guidance: cfgParallel must be off without guidance, but is on",
    );
    expect(refusal({ cfgParallel: true, ulyssesDegree: 2 }, 2, 5)).toBe(
      "worldSize: the number of ranks must be a multiple of 4 for ulyssesDegree 2 × 2 prompts, but is 2",
    );
  });

  test("chooses degrees whose product is the ranks, with no more shares than heads", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 48 }),
        fc.option(fc.boolean(), { nil: undefined }),
        (worldSize, heads, guided) => {
          const { cfg, ring, ulysses } = chooseDegrees({}, { worldSize, heads, guided });
          expect(cfg * ring * ulysses).toBe(worldSize);
          expect(ulysses).toBeLessThanOrEqual(heads);
        },
      ),
    );
  });
});
