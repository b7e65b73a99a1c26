import type { Tensor } from "@wan-ts/tensor";

/** What a convolution takes that a {@link RowPlan} names; it may take more. */
export interface RowConvolutionInput {
  /** (B, T, H, W, C). */
  readonly input: Tensor;
  /**
   * Rows of zeros above and below, in place of the layer's own: fewer where `input` is a part of a
   * frame that brings the rows next to it along.
   */
  readonly heightPadding?: readonly [above: number, below: number] | undefined;
}

/** A convolution whose kernel covers rows above or below its own. */
export interface RowConvolution {
  /** Its full name. */
  readonly module: string;
  /** Rows under the kernel. */
  readonly kernel: number;
  /** Input rows from one output row to the next. */
  readonly stride: number;
  /** Rows of zeros above and below a whole frame. */
  readonly padding: readonly [above: number, below: number];
}

/** A part of a model that takes frames, and computes most of each row from rows close by. */
export interface RowRegion {
  /** The module, by its full name, from `{ input }` of (B, T, H, W, C) to (B, T′, H′, W′, C′). */
  readonly module: string;
  /** Input rows that belong together: those that `outputRows` rows are computed from, neighbours apart. */
  readonly inputRows: number;
  readonly outputRows: number;
  /** Every convolution in it of more than one row; all else but `attentions` keeps to a row. */
  readonly convolutions: readonly RowConvolution[];
  /**
   * Modules in it, by their full names, that compute attention among all pixels of a frame, row by row:
   * `{ query, key, value }` of (B, H·W, heads, D) to `{ output }`.
   */
  readonly attentions: readonly string[];
}

/** Where the rows of frames can be shared out, and what has to cross between the parts: data that a model states. */
export type RowPlan = readonly RowRegion[];
