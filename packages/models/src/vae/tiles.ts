import { add, concatenate, multiply, scope, Tensor } from "@wan-ts/tensor";
import type { VaeTiling } from "./tiling.ts";

/** Tiles along one dimension: `extent` elements each, one every `stride`. What is more overlaps the next. */
export interface TileSpan {
  readonly extent: number;
  readonly stride: number;
}

/** Tiles of a frame. */
export interface TileLayout {
  readonly height: TileSpan;
  readonly width: TileSpan;
}

/** A part of a frame: [start, end) in height and in width. */
export interface Region {
  readonly height: readonly [start: number, end: number];
  readonly width: readonly [start: number, end: number];
}

const heightDim = 2;
const widthDim = 3;

/** The layout of tiles in another unit than pixels. */
export function tileLayout(tiling: VaeTiling, units: (pixels: number) => number): TileLayout {
  return {
    height: { extent: units(tiling.tileSampleMinHeight), stride: units(tiling.tileSampleStrideHeight) },
    width: { extent: units(tiling.tileSampleMinWidth), stride: units(tiling.tileSampleStrideWidth) },
  };
}

/** The tiles of frames (B, T, H, W, C), in rows from the top; those at the lower and right edges are smaller. */
export function tileRegions(frames: Tensor, { height, width }: TileLayout): Region[][] {
  const columns = spans(frames.size(widthDim), width);
  return spans(frames.size(heightDim), height).map((row) =>
    columns.map((column) => ({ height: row, width: column })),
  );
}

/** A region of frames (B, T, H, W, C), a view. */
export function crop(frames: Tensor, { height, width }: Region): Tensor {
  return frames.slice(heightDim, ...height).slice(widthDim, ...width);
}

/**
 * Frames (B, T, H, W, C) of tiles in rows. Each tile fades in over the end of the one above, then over
 * that of the one to its left, both as they are after their own blending, as in diffusers'
 * `tiled_decode`, which blends in place; of each its first `stride` rows and columns are taken.
 */
export function joinTiles(rows: readonly (readonly Tensor[])[], layout: TileLayout): Tensor {
  return scope(() => {
    const joined: Tensor[] = [];
    let above: readonly Tensor[] = [];
    for (const row of rows) {
      const { blended, taken } = scope(() => joinRow(row, above, layout));
      // Let go of at once: a frame's tiles are as large as the frame.
      for (const tile of above) tile.dispose();
      above = blended;
      joined.push(taken);
    }
    return concatenate(joined, heightDim);
  });
}

/** A row of tiles after blending, and what is taken of them side by side. `above` is the row before. */
function joinRow(
  row: readonly Tensor[],
  above: readonly Tensor[],
  layout: TileLayout,
): { readonly blended: readonly Tensor[]; readonly taken: Tensor } {
  const blended: Tensor[] = [];
  for (const [column, tile] of row.entries()) {
    const [upper, left] = [above[column], blended.at(-1)];
    const lowered = upper ? blend(upper, tile, heightDim, layout.height) : tile.share();
    blended.push(left ? blend(left, lowered, widthDim, layout.width) : lowered);
  }
  const starts = blended.map((tile) => start(tile, layout));
  return { blended, taken: concatenate(starts, widthDim) };
}

function spans(size: number, { extent, stride }: TileSpan): (readonly [start: number, end: number])[] {
  const count = Math.ceil(size / stride);
  return Array.from({ length: count }, (_, index) => [
    index * stride,
    Math.min(size, index * stride + extent),
  ]);
}

/** `tile`, its first elements along `dim` faded in over the last ones of `before`. */
function blend(before: Tensor, tile: Tensor, dim: number, { extent, stride }: TileSpan): Tensor {
  const overlap = Math.min(before.size(dim), tile.size(dim), extent - stride);
  if (overlap === 0) return tile.share();
  const shape = dim === heightDim ? [overlap, 1, 1] : [overlap, 1];
  const shares = Array.from({ length: overlap }, (_, index) => index / overlap);
  const rest = shares.map((share) => 1 - share);
  return scope(() => {
    const ending = before.slice(dim, before.size(dim) - overlap);
    const beginning = tile.slice(dim, 0, overlap);
    const faded = add(weighted(ending, rest, shape), weighted(beginning, shares, shape));
    return concatenate([faded, tile.slice(dim, overlap)], dim);
  });
}

/** Rounded as torch rounds the product of a 16-bit tensor and a number, which stays float32. */
function weighted(part: Tensor, weights: readonly number[], shape: readonly number[]): Tensor {
  const factors = Tensor.from(weights, shape, "float32", part.device);
  return multiply(part.to("float32"), factors).to(part.dtype);
}

function start(tile: Tensor, { height, width }: TileLayout): Tensor {
  const [rows, columns] = [tile.size(heightDim), tile.size(widthDim)];
  return crop(tile, {
    height: [0, Math.min(rows, height.stride)],
    width: [0, Math.min(columns, width.stride)],
  });
}
