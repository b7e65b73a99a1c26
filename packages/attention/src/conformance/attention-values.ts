import type { Tensor } from "@wan-ts/tensor";
import type { AttentionCall } from "../backend.ts";

/** The inputs of one attention as numbers, row-major. */
export interface AttentionValues {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headDim: number;
  readonly scale: number;
  /** (B, Sq, H, D). */
  readonly query: Float32Array;
  /** (B, Sk, H, D). */
  readonly key: Float32Array;
  /** (B, Sk, H, D). */
  readonly value: Float32Array;
  /** (B, H, Sq, Sk). */
  readonly mask: Float32Array | undefined;
}

/** Outputs as numbers, row-major. */
export interface AttentionOutputs {
  /** (B, Sq, H, D). */
  readonly output: Float64Array;
  /** (B, Sq, H). */
  readonly logSumExp: Float64Array;
}

/** Reads the inputs of a call, rounded to its dtype as they are. */
export async function readValues(call: AttentionCall): Promise<AttentionValues> {
  const [batch, queries, heads, headDim] = call.query.shape as [number, number, number, number];
  const keys = call.key.size(1);
  return {
    batch,
    queries,
    keys,
    heads,
    headDim,
    scale: call.scale ?? 1 / Math.sqrt(headDim),
    query: await call.query.floats(),
    key: await call.key.floats(),
    value: await call.value.floats(),
    mask: call.mask && (await readWhole(call.mask, [batch, heads, queries, keys])),
  };
}

async function readWhole(tensor: Tensor, shape: readonly number[]): Promise<Float32Array> {
  using whole = tensor.expand(shape);
  return await whole.floats();
}
