/** How a run holds on to tensors whose memory is freed explicitly. */
export interface TensorLifetimes<T> {
  /**
   * A handle on the same values which stays valid when the scope of this step ends and when the owner of `tensor`
   * disposes of it.
   */
  keep(tensor: T): T;

  /**
   * Frees a handle. It is called exactly once for each result of `keep`, and for each result of `weightedSum` that
   * isn't returned by a step; never for a tensor of the caller.
   */
  release(tensor: T): void;
}

/**
 * The arithmetic a scheduler needs of tensors: weighted sums, and a word about how long its memory of them lasts.
 *
 * A scheduler computes numbers; whoever starts a run says how they meet tensors. T is a handle of any kind: a native
 * tensor, a typed array.
 */
export interface LinearArithmetic<T> {
  /**
   * `Σ coefficients[i] · tensors[i]`, elementwise over tensors of one shape; a new tensor, owned by the run.
   *
   * Coefficients are float32 values or combinations of them; sums are taken in float32 or wider. Where a tensor is
   * bfloat16 or float16, its coefficient is rounded to that dtype, and so is their product before it is added: torch
   * does so on a CPU when a 0-dim float32 tensor is multiplied by a tensor of lower precision. The result has the
   * widest dtype among `tensors`, or that of `dtypeOf` when it is given.
   */
  weightedSum(tensors: readonly T[], coefficients: readonly number[], dtypeOf?: T): T;

  /** Absent where handles live as long as they are referenced. */
  readonly lifetimes?: TensorLifetimes<T>;
}
