import type { AttentionCall } from "@wan-ts/attention";
import { isFloat, type Tensor, TensorError, type TensorErrorCode } from "@wan-ts/tensor";

/** The sizes of one attention. */
export interface CallSizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headDim: number;
}

/**
 * The sizes of a call whose tensors fit each other.
 *
 * @throws {TensorError} `shape` or `dtype`, naming the argument that doesn't fit.
 */
export function checkCall({ query, key, value, mask }: AttentionCall): CallSizes {
  if (query.rank !== 4) throw refusal("shape", "query", "of shape (B, Sq, H, D)", query);
  if (!isFloat(query.dtype)) throw refusal("dtype", "query", "of a float type", query);
  const [batch, queries, heads, headDim] = query.shape as [number, number, number, number];
  const keys = key.rank === 4 ? (key.shape[1] as number) : 0;
  for (const [name, tensor] of [
    ["key", key],
    ["value", value],
  ] as const) {
    const expected = [batch, keys, heads, headDim];
    if (!sameShape(tensor.shape, expected)) {
      throw refusal("shape", name, `of shape [${batch}, Sk, ${heads}, ${headDim}], Sk that of key`, tensor);
    }
    if (tensor.dtype !== query.dtype) throw refusal("dtype", name, query.dtype, tensor);
  }
  if (mask) {
    const whole = [batch, heads, queries, keys].slice(-Math.max(mask.rank, 1));
    const fits = mask.rank <= 4 && mask.shape.every((size, dim) => size === 1 || size === whole[dim]);
    if (!fits) {
      throw refusal("shape", "mask", `broadcast to [${batch}, ${heads}, ${queries}, ${keys}]`, mask);
    }
    if (mask.dtype !== "float32") throw refusal("dtype", "mask", "float32", mask);
  }
  return { batch, queries, keys, heads, headDim };
}

function refusal(code: TensorErrorCode, argument: string, expected: string, tensor: Tensor): TensorError {
  const found = code === "dtype" ? tensor.dtype : `[${tensor.shape.join(", ")}]`;
  return new TensorError({
    code,
    operation: "attention",
    argument,
    expected,
    found,
    message: `attention: ${argument} must be ${expected}, but is ${found}`,
  });
}

function sameShape(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, dim) => size === right[dim]);
}
