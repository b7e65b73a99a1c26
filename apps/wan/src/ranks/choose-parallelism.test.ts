import { describe, expect, test } from "bun:test";
import { InputError } from "../input-error.ts";
import { chooseParallelism } from "./choose-parallelism.ts";

type Wishes = Parameters<typeof chooseParallelism>[0];

function choose(wishes: Wishes, heads = 12, guidanceScale = 5, startedRanks?: number) {
  return chooseParallelism(wishes, { startedRanks, heads, guidanceScale });
}

/** cfg × ring × ulysses. */
function degrees(wishes: Wishes, heads?: number, guidanceScale?: number): string {
  const { degrees } = choose(wishes, heads, guidanceScale);
  return `${degrees.cfgParallel ? 2 : 1} × ${degrees.ringDegree} × ${degrees.ulyssesDegree}`;
}

function refusal(wishes: Wishes, heads?: number, guidanceScale?: number, startedRanks?: number): string {
  try {
    choose(wishes, heads, guidanceScale, startedRanks);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error(`${JSON.stringify(wishes)} was taken`);
}

describe("chooseParallelism", () => {
  test("has all ranks share heads, as far as there are, and then a ring", () => {
    expect(degrees({})).toBe("1 × 1 × 1");
    expect(degrees({ nproc: 2 })).toBe("1 × 1 × 2");
    expect(degrees({ nproc: 2 }, 12, 1)).toBe("1 × 1 × 2");
    expect(degrees({ nproc: 3 })).toBe("1 × 1 × 3");
    expect(degrees({ nproc: 8 }, 2)).toBe("1 × 4 × 2");
  });

  test("keeps to what is asked for", () => {
    expect(degrees({ nproc: 2, ulysses: 2 })).toBe("1 × 1 × 2");
    expect(degrees({ nproc: 2, ring: 2 })).toBe("1 × 2 × 1");
    expect(degrees({ nproc: 4, ulysses: 2 })).toBe("1 × 2 × 2");
    expect(degrees({ nproc: 4, ulysses: 2, cfg: true })).toBe("2 × 1 × 2");
    expect(degrees({ nproc: 4, cfg: true })).toBe("2 × 1 × 2");
    expect(degrees({ nproc: 8, ulysses: 2, ring: 2, cfg: true })).toBe("2 × 2 × 2");
  });

  test("refuses in flags and numbers what doesn't fit", () => {
    expect(refusal({ nproc: 4, ulysses: 2, ring: 1, cfg: false })).toBe(
      "--ulysses 2 × --ring 1 = 2 needs --nproc to be 2, but it is 4",
    );
    expect(refusal({ nproc: 4, ring: 3 })).toBe("--ring 3 needs --nproc to be a multiple of 3, but it is 4");
    expect(refusal({ nproc: 6, ring: 1, cfg: false }, 4)).toBe(
      "--ring must be at least 2 for 6 ranks and 4 heads, but is 1",
    );
    expect(refusal({ nproc: 5, ulysses: 5 }, 4)).toContain("--ulysses must be at most 4");
    expect(refusal({ nproc: 2, cfg: true }, 12, 1)).toContain("--guidance-scale above 1, but it is 1");
  });

  test("takes the ranks that a launcher has started", () => {
    expect(choose({}, 12, 1, 4).ranks).toBe(4);
    expect(choose({ nproc: 4 }, 12, 1, 4).ranks).toBe(4);
    expect(refusal({ nproc: 2 }, 12, 1, 4)).toContain("--nproc 2: this process is one of 4 ranks already");
    expect(refusal({ cfg: true }, 12, 5, 3)).toContain("but the number of ranks is 3");
  });
});
