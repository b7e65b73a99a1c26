import { Tensor } from "@wan-ts/tensor";
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
export function uniformTensor(shape: readonly number[], dtype: BenchDType, seed: number, scale = 1): Tensor {
  const values = uniformValues(
    shape.reduce((product, size) => product * size, 1),
    seed,
  );
  if (scale !== 1) for (const [at, value] of values.entries()) values[at] = value * scale;
  return Tensor.from(values, shape, dtype);
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
