/** A tensor that is split over ranks where its module is called: an argument, or a result. */
export interface ContextParallelInput {
  readonly kind: "split";
  /** The module, by its full name or by a pattern in which `*` stands for one part of a name. */
  readonly module: string;
  /** The argument that is split before the module runs, or the result that is split after it. */
  readonly tensor: { readonly argument: string } | { readonly result: string };
  /** The dimension of tokens. */
  readonly dim: number;
  /** How many dimensions the tensor has. */
  readonly dims: number;
  /** The argument may be left out. */
  readonly optional?: boolean;
}

/** A module whose output, one tensor, is gathered from the ranks: its tokens are whole again. */
export interface ContextParallelOutput {
  readonly kind: "gather";
  readonly module: string;
  readonly dim: number;
  readonly dims: number;
}

/**
 * A module that computes attention among split tokens, from `{ query, key, value }` of (B, S, H, D) to
 * `{ output }` alike. Attention to tokens that every rank has whole needs no entry.
 */
export interface ContextParallelAttention {
  readonly kind: "attention";
  readonly module: string;
  /** The modules that make queries, keys and values: what they compute is about to be exchanged. */
  readonly operandsOf?: string;
}

/**
 * How a model's tokens are split over ranks: data that the model states, in the order of its forward
 * pass. Follows diffusers' `_cp_plan` (`models/_modeling_parallel.py`).
 */
export type ContextParallelPlan = readonly (
  | ContextParallelInput
  | ContextParallelOutput
  | ContextParallelAttention
)[];
