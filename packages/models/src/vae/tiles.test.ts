import { describe, expect, test } from "bun:test";
import { scope, Tensor } from "@wan-ts/tensor";
import fc from "fast-check";
import { crop, joinTiles, type Region, type TileLayout, tileRegions } from "./tiles.ts";

const square = (extent: number, stride: number): TileLayout => ({
  height: { extent, stride },
  width: { extent, stride },
});

describe("tileRegions", () => {
  const heights = (size: number, layout: TileLayout): (readonly [number, number])[] =>
    scope(() => tileRegions(Tensor.zeros([1, 1, size, 1, 1]), layout).map(([region]) => region!.height));

  test("begins a tile at each stride, the last ones smaller", () => {
    expect(heights(10, square(4, 3))).toEqual([
      [0, 4],
      [3, 7],
      [6, 10],
      [9, 10],
    ]);
    expect(heights(6, square(4, 3))).toEqual([
      [0, 4],
      [3, 6],
    ]);
  });

  test("cuts what a tile would hold too, as diffusers does once the other side is larger", () => {
    expect(heights(4, square(4, 3))).toEqual([
      [0, 4],
      [3, 4],
    ]);
    expect(heights(3, square(4, 3))).toEqual([[0, 3]]);
  });
});

/** A tile as rows of values. */
type Grid = number[][];

/** Blends in place as diffusers does, in float64. */
function joinedInPlace(tiles: Grid[][], layout: TileLayout): Grid {
  const joined: Grid = [];
  for (const [i, row] of tiles.entries()) {
    for (const [j, tile] of row.entries()) {
      const above = tiles[i - 1]?.[j];
      if (above) {
        const overlap = Math.min(above.length, tile.length, layout.height.extent - layout.height.stride);
        for (let y = 0; y < overlap; y++) {
          const faded = above[above.length - overlap + y]!;
          tile[y] = tile[y]!.map((value, x) => faded[x]! * (1 - y / overlap) + value * (y / overlap));
        }
      }
      const left = row[j - 1];
      if (left) {
        const [before, width] = [left[0]!.length, tile[0]!.length];
        const overlap = Math.min(before, width, layout.width.extent - layout.width.stride);
        for (const [y, line] of tile.entries()) {
          for (let x = 0; x < overlap; x++) {
            const share = x / overlap;
            line[x] = left[y]![before - overlap + x]! * (1 - share) + line[x]! * share;
          }
        }
      }
    }
    for (let y = 0; y < Math.min(layout.height.stride, row[0]!.length); y++) {
      joined.push(row.flatMap((tile) => tile[y]!.slice(0, layout.width.stride)));
    }
  }
  return joined;
}

describe("joinTiles", () => {
  const span = fc
    .integer({ min: 1, max: 5 })
    .chain((stride) => fc.integer({ min: stride, max: stride + 4 }).map((extent) => ({ extent, stride })));
  const values = (region: Region, seed: number): Grid => {
    const [height, width] = [region.height[1] - region.height[0], region.width[1] - region.width[0]];
    return Array.from({ length: height }, (_, y) =>
      Array.from({ length: width }, (_, x) => Math.sin(seed + 7 * y + x)),
    );
  };
  const tensorOf = (grid: Grid): Tensor =>
    Tensor.from(Float32Array.from(grid.flat()), [1, 1, grid.length, grid[0]!.length, 1]);

  test("blends each tile over its neighbours as they are after their own blending", () => {
    fc.assert(
      fc.property(
        fc.record({ height: span, width: span }),
        fc.integer({ min: 1, max: 14 }),
        fc.integer({ min: 1, max: 14 }),
        (layout, height, width) => {
          scope(() => {
            const regions = tileRegions(Tensor.zeros([1, 1, height, width, 1]), layout);
            const tiles = regions.map((row, i) => row.map((region, j) => values(region, 100 * i + 31 * j)));
            const found = joinTiles(
              tiles.map((row) => row.map(tensorOf)),
              layout,
            );
            expect(found.shape).toEqual([1, 1, height, width, 1]);
            const wanted = joinedInPlace(tiles, layout).flat();
            // Three roundings for each of two blends, of values up to 1.
            const error = found.floatsBlocking().map((value, index) => Math.abs(value - wanted[index]!));
            expect(Math.max(...error)).toBeLessThan(4 * 2 ** -23);
          });
        },
      ),
    );
  });

  test("gives what was cut, where tiles weren't changed", () => {
    scope(() => {
      // Whole numbers, and overlaps of 4 and 2: no product and no sum rounds.
      const frames = Tensor.from(
        Float32Array.from({ length: 2 * 2 * 10 * 12 * 3 }, (_, index) => index),
        [2, 2, 10, 12, 3],
      );
      const layout = square(8, 4);
      const tiles = tileRegions(frames, layout).map((row) => row.map((region) => crop(frames, region)));
      expect(joinTiles(tiles, layout).floatsBlocking()).toEqual(frames.floatsBlocking());
    });
  });

  test("rounds as torch does in 16 bits: both products, then their sum", () => {
    scope(() => {
      const tile = (value: number) => Tensor.full([1, 1, 3, 1, 1], value, "bfloat16");
      const layout: TileLayout = { height: { extent: 6, stride: 3 }, width: { extent: 1, stride: 1 } };
      const found = joinTiles([[tile(1.0078125)], [tile(3.015625)]], layout);
      expect(found.dtype).toBe("bfloat16");
      const bfloat16 = (value: number): number =>
        scope(() => Tensor.from([value], [1], "bfloat16").floatsBlocking()[0]!);
      const blended = [0, 1, 2].map((index) => {
        const [fadeOut, fadeIn] = [1 - index / 3, index / 3].map(Math.fround) as [number, number];
        return bfloat16(bfloat16(1.0078125 * fadeOut) + bfloat16(3.015625 * fadeIn));
      });
      expect([...found.floatsBlocking()]).toEqual([...Array<number>(3).fill(1.0078125), ...blended]);
    });
  });
});
