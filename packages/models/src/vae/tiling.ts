import { TensorError } from "@wan-ts/tensor";

/**
 * Sizes of the tiles in which a VAE takes frames, in pixels, by diffusers' names. Tiles of a patched VAE
 * are cut from the patches when it encodes, so that they are `patchSize` times as large there.
 */
export interface VaeTiling {
  /** Height of a tile; lower frames aren't cut. 256 at first. */
  readonly tileSampleMinHeight: number;
  /** Width of a tile; narrower frames aren't cut. 256 at first. */
  readonly tileSampleMinWidth: number;
  /** From the top of a tile to that of the next; the rest overlaps, and is blended. 192 at first. */
  readonly tileSampleStrideHeight: number;
  /** From the left of a tile to that of the next. 192 at first. */
  readonly tileSampleStrideWidth: number;
}

/** The tiles of diffusers' `AutoencoderKLWan`. */
export const defaultTiling: VaeTiling = {
  tileSampleMinHeight: 256,
  tileSampleMinWidth: 256,
  tileSampleStrideHeight: 192,
  tileSampleStrideWidth: 192,
};

/**
 * `changes` over `tiling`.
 *
 * @param spatial pixels, in height and in width, that a latent pixel stands for.
 * @throws {TensorError} `argument` for a size that isn't a multiple of `spatial`, at which diffusers
 * puts tiles where they don't belong, and for a stride above the tile's size, which leaves gaps.
 */
export function changedTiling(tiling: VaeTiling, changes: Partial<VaeTiling>, spatial: number): VaeTiling {
  const changed: VaeTiling = {
    tileSampleMinHeight: changes.tileSampleMinHeight ?? tiling.tileSampleMinHeight,
    tileSampleMinWidth: changes.tileSampleMinWidth ?? tiling.tileSampleMinWidth,
    tileSampleStrideHeight: changes.tileSampleStrideHeight ?? tiling.tileSampleStrideHeight,
    tileSampleStrideWidth: changes.tileSampleStrideWidth ?? tiling.tileSampleStrideWidth,
  };
  for (const side of ["Height", "Width"] as const) {
    const [size, stride] = [changed[`tileSampleMin${side}`], changed[`tileSampleStride${side}`]];
    if (size <= 0 || size % spatial !== 0) {
      throw refusal(`tileSampleMin${side}`, `a multiple of ${spatial} above 0`, size);
    }
    if (stride <= 0 || stride % spatial !== 0 || stride > size) {
      const expected = `a multiple of ${spatial} above 0, and at most tileSampleMin${side}, ${size}`;
      throw refusal(`tileSampleStride${side}`, expected, stride);
    }
  }
  return changed;
}

function refusal(argument: keyof VaeTiling, expected: string, found: number): TensorError {
  return TensorError.argument("enableTiling", argument, expected, `${found}`);
}
