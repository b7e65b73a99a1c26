import type { Tensor } from "@wan-ts/tensor";

/** Frames of one video, (F, H, W, 3) row-major. */
export interface Frames {
  /** float32 in [0, 1] for `np`, bytes rounded to nearest for `pil`. */
  readonly data: Float32Array | Uint8Array;
  readonly numFrames: number;
  readonly height: number;
  readonly width: number;
}

/** What a pipeline returns: the caller owns the tensors. */
export interface GenerateResult {
  /** The first video, for `np` and `pil`; else empty. */
  readonly frames: Frames;
  /** Every video, for `np` and `pil`. */
  readonly videos: readonly Frames[];
  /** (F, 3, H, W) float32 in [0, 1] of each video, for `pt`. */
  readonly tensors: readonly Tensor[];
  /** (B, zDim, T, H, W) float32: the final latents, before the VAE. */
  readonly latents: Tensor;
  [Symbol.dispose](): void;
}
