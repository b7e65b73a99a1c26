import { describe, expect, test } from "bun:test";
import { scope, Tensor } from "@wan-ts/tensor";
import fc from "fast-check";
import { Bands } from "./bands.ts";

const units = fc.integer({ min: 1, max: 40 });
const members = fc.integer({ min: 1, max: 12 });
const all = (rows: number, ranks: number): Bands[] =>
  Array.from({ length: ranks }, (_, index) => new Bands(rows, ranks, index));

describe("Bands", () => {
  test("are all rows, one after the other, as even as can be", () => {
    fc.assert(
      fc.property(units, members, (rows, ranks) => {
        const bands = all(rows, ranks);
        const counting = bands.filter((band) => band.counts);
        expect(
          counting.flatMap(({ start, computed }) => Array.from({ length: computed }, (_, i) => start + i)),
        ).toEqual(Array.from({ length: rows }, (_, row) => row));
        const sizes = bands[0]!.sizes;
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(bands[0]!.smallest).toBe(Math.min(...counting.map((band) => band.computed)));
        expect(bands[0]!.shared).toBe(counting.length > 1);
      }),
    );
  });

  test("know their neighbours from both sides", () => {
    fc.assert(
      fc.property(units, members, (rows, ranks) => {
        const bands = all(rows, ranks);
        for (const [index, band] of bands.entries()) {
          if (band.below !== undefined) {
            expect(bands[band.below]!.above).toBe(index);
            expect(bands[band.below]!.start).toBe(band.start + band.computed);
          }
          expect(band.above === undefined).toBe(band.start === 0 || !band.counts);
        }
      }),
    );
  });

  test("give ranks without rows the last one to go along with, which doesn't count", () => {
    scope(() => {
      const whole = Tensor.from([0, 1, 2, 3, 4, 5], [1, 6]);
      const idle = new Bands(3, 5, 4);
      expect([idle.counts, idle.computed, idle.start, idle.above, idle.below]).toEqual([
        false,
        1,
        2,
        undefined,
        undefined,
      ]);
      const part = idle.take(whole, 1, 2);
      expect([...part.floatsBlocking()]).toEqual([4, 5]);
      expect(idle.counted(part, 1).shape).toEqual([1, 0]);
      expect(new Bands(3, 5, 2).counted(part, 1).shape).toEqual([1, 2]);
    });
  });

  test("refuse parts that aren't of whole rows", () => {
    using part = Tensor.zeros([1, 5]);
    expect(new Bands(5, 1, 0).unitOf(part, 1, "a part")).toBe(1);
    expect(() => new Bands(2, 1, 0).unitOf(part, 1, "a part")).toThrow(
      "a part must be a multiple of 2, the rows of the band, along dimension 1, but is [1, 5]",
    );
  });
});
