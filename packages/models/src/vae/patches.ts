import type { Tensor } from "@wan-ts/tensor";

/**
 * Squares of `patchSize`² pixels folded into channels: (B, T, H, W, C) →
 * (B, T, H/patchSize, W/patchSize, C · patchSize²), channels ordered as (C, column, row) within a
 * patch, as diffusers' `patchify` has them. `null` leaves the pixels as they are.
 */
export function patchify(pixels: Tensor, patchSize: number | null): Tensor {
  if (patchSize === null) return pixels;
  const [batch, frames, height, width, channels] = pixels.shape as [number, number, number, number, number];
  const [rows, columns] = [height / patchSize, width / patchSize];
  return pixels
    .reshape([batch, frames, rows, patchSize, columns, patchSize, channels])
    .permute([0, 1, 2, 4, 6, 5, 3]) // (B, T, rows, columns, C, column, row)
    .reshape([batch, frames, rows, columns, channels * patchSize ** 2]);
}

/** The inverse of {@link patchify}. */
export function unpatchify(patches: Tensor, patchSize: number | null): Tensor {
  if (patchSize === null) return patches;
  const [batch, frames, rows, columns, folded] = patches.shape as [number, number, number, number, number];
  const channels = folded / patchSize ** 2;
  return patches
    .reshape([batch, frames, rows, columns, channels, patchSize, patchSize])
    .permute([0, 1, 2, 6, 3, 5, 4]) // (B, T, rows, row, columns, column, C)
    .reshape([batch, frames, rows * patchSize, columns * patchSize, channels]);
}
