import type { Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "../errors.ts";
import { shares, startOf } from "../shares.ts";

/** Dimension of rows in frames (B, T, H, W, C). */
export const rowDim = 2;

/**
 * The bands in which the members of a group share out the rows of a frame, from the top: as even as can
 * be, counted in units, which are the rows that stay together.
 *
 * Where there are more members than units, those without any go along with the last one, as though it
 * were a frame by itself. What they compute is left out of what is gathered; but their tensors have the
 * shapes that a collective asks of all members, and they are done no later than the others.
 */
export class Bands {
  /** Units of each member. */
  readonly sizes: readonly number[];
  readonly #index: number;

  constructor(units: number, members: number, index: number) {
    this.sizes = shares(units, members);
    this.#index = index;
  }

  /** Whether rows go to more than one member. */
  get shared(): boolean {
    return (this.sizes[1] ?? 0) > 0;
  }

  /** Whether this member's rows are among those that are gathered. */
  get counts(): boolean {
    return this.#own > 0;
  }

  /** Units that this member computes: its own, or the last one. */
  get computed(): number {
    return Math.max(1, this.#own);
  }

  /** The first unit that this member computes. */
  get start(): number {
    const units = startOf(this.sizes, this.sizes.length);
    return Math.min(startOf(this.sizes, this.#index), units - 1);
  }

  /** Units of the smallest band that counts. */
  get smallest(): number {
    return Math.min(...this.sizes.filter((size) => size > 0));
  }

  /** The member with the rows above this one's; undefined at the upper edge. */
  get above(): number | undefined {
    return this.counts && this.#index > 0 ? this.#index - 1 : undefined;
  }

  /** The member with the rows below this one's; undefined at the lower edge. */
  get below(): number | undefined {
    const next = this.#index + 1;
    return this.counts && (this.sizes[next] ?? 0) > 0 ? next : undefined;
  }

  get #own(): number {
    return this.sizes[this.#index] as number;
  }

  /** This member's band of a whole tensor, of `unit` elements a unit along `dim`: a view. */
  take(whole: Tensor, dim: number, unit: number): Tensor {
    return whole.slice(dim, this.start * unit, (this.start + this.computed) * unit);
  }

  /** What is gathered of this member's part: all of it, or nothing. A view. */
  counted(part: Tensor, dim: number): Tensor {
    return this.counts ? part : part.slice(dim, 0, 0);
  }

  /**
   * Elements that a unit stands for along `dim` of a part that this member has.
   *
   * @throws {ContextParallelError} `tensor` where the part isn't one of whole units.
   */
  unitOf(part: Tensor, dim: number, name: string): number {
    const unit = part.size(dim) / this.computed;
    if (Number.isInteger(unit) && unit > 0) return unit;
    const expected = `a multiple of ${this.computed}, the rows of the band, along dimension ${dim}`;
    throw new ContextParallelError("tensor", name, expected, `[${part.shape.join(", ")}]`);
  }
}
