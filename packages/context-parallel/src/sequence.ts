import type { ProcessGroup } from "@wan-ts/distributed";
import type { Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "./errors.ts";
import { shares, startOf } from "./shares.ts";

/**
 * The tokens of the forward pass under way, and who has which. All ranks split the same number in the
 * same way, so nobody is asked for sizes.
 */
export class SplitSequence {
  readonly group: ProcessGroup;
  #sizes: readonly number[] | undefined;

  constructor(group: ProcessGroup) {
    this.group = group;
  }

  /**
   * Tokens of each rank, in this pass.
   *
   * @throws {ContextParallelError} `tensor` before anything is split.
   */
  get sizes(): readonly number[] {
    if (this.#sizes) return this.#sizes;
    throw new ContextParallelError(
      "tensor",
      "tokens",
      "split before they are gathered or attended to",
      "whole",
    );
  }

  /**
   * This rank's tokens: a view.
   *
   * @throws {ContextParallelError} `tokens` where some rank would have none; `tensor` where another
   * number of tokens was split before in this pass.
   */
  split(name: string, tensor: Tensor, dim: number): Tensor {
    const total = tensor.size(dim);
    const { size, index } = this.group;
    if (total < size) {
      const expected = `at least ${size}, one for each rank that shares them`;
      throw new ContextParallelError("tokens", `the number of tokens, ${name},`, expected, `${total}`);
    }
    const before = this.#sizes && startOf(this.#sizes, size);
    if (before !== undefined && before !== total) {
      const expected = `of ${before} tokens, as those split before it`;
      throw new ContextParallelError("tensor", name, expected, `of ${total}`);
    }
    this.#sizes = shares(total, size);
    const start = startOf(this.#sizes, index);
    return tensor.slice(dim, start, start + this.#sizes[index]!);
  }

  /** The tokens of all ranks; the pass is over. */
  gather(tensor: Tensor, dim: number): Tensor {
    const { sizes } = this;
    this.#sizes = undefined;
    return this.group.allGather(tensor, { dim, sizes });
  }

  /** A pass that failed left its sizes; the next one begins anew. */
  reset(): void {
    this.#sizes = undefined;
  }
}
