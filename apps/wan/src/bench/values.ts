import { type Device, scope, Tensor } from "@wan-ts/tensor";
import type { BenchDType } from "./case.ts";

/** Uniform values in [−1, 1), the same each time for a seed (Marsaglia's xorshift32). */
export function uniformValues(count: number, seed: number): Float32Array {
  const values = new Float32Array(count);
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  for (let at = 0; at < count; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[at] = state / 2 ** 31;
  }
  return values;
}

/** A tensor of {@link uniformValues} times `scale`. */
export function uniformTensor(
  shape: readonly number[],
  dtype: BenchDType,
  seed: number,
  { scale = 1, device = "cpu" }: { readonly scale?: number; readonly device?: Device } = {},
): Tensor {
  const values = uniformValues(
    shape.reduce((product, size) => product * size, 1),
    seed,
  );
  if (scale !== 1) for (const [at, value] of values.entries()) values[at] = value * scale;
  return Tensor.from(values, shape, dtype, device);
}

/** Rows until the first comes again: a prime, so that no block of a kernel holds the same as another. */
const repeatedRows = 251;

/**
 * A tensor like {@link uniformTensor} whose rows, along the first dimension of more than 1, come again
 * where there are many: the device makes it from a small one, so that large ones cost little.
 */
export function uniformRows(
  shape: readonly number[],
  dtype: BenchDType,
  seed: number,
  options: { readonly scale?: number; readonly device?: Device } = {},
): Tensor {
  const dim = shape.findIndex((size) => size > 1);
  const rows = shape[dim] ?? 1;
  if (rows <= repeatedRows) return uniformTensor(shape, dtype, seed, options);
  const inner = shape.slice(dim + 1).reduce((product, size) => product * size, 1);
  return scope(() => {
    const few = uniformTensor([1, repeatedRows, inner], dtype, seed, options);
    const times = Math.ceil(rows / repeatedRows);
    const many = few.expand([times, repeatedRows, inner]).contiguous();
    return many
      .reshape([times * repeatedRows, inner])
      .slice(0, 0, rows)
      .reshape(shape);
  });
}

/** `count` places among `size`, first and last included, spread without a common stride. */
export function sampledPlaces(size: number, count: number): number[] {
  const places = new Set([0, size - 1]);
  for (let at = 1; places.size < Math.min(count, size); at++) places.add((at * 7919) % size);
  return [...places];
}

/** The values of a part of a tensor: [start, end) along each dimension. */
export async function partOf(
  tensor: Tensor,
  ranges: readonly (readonly [start: number, end: number])[],
): Promise<Float32Array> {
  using views = new DisposableStack();
  let part = tensor;
  for (const [dim, [start, end]] of ranges.entries()) part = views.use(part.slice(dim, start, end));
  return await part.floats();
}
