import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** Tensors one after the other along `dim` (negative: from the last). Equal dtypes and other sizes. */
export function concatenate(tensors: readonly Tensor[], dim: number): Tensor {
  const along = dim < 0 ? dim + (tensors[0]?.rank ?? 0) : dim;
  const handles = tensors.map((tensor) => tensor.native);
  return new Tensor(callNative(() => native.concatenate(handles, along)));
}

/** Zeros before and after along each dimension: `padding[dim]` is [before, after]. */
export function pad(input: Tensor, padding: readonly (readonly [number, number])[]): Tensor {
  const pairs = padding.map((pair) => [...pair]);
  return new Tensor(callNative(() => native.pad(input.native, pairs)));
}

/** (B, T, H, W, C) → (B, T, H·factor, W·factor, C): each pixel repeated. */
export function upsampleNearest(input: Tensor, factor: number): Tensor {
  return new Tensor(callNative(() => native.upsampleNearest(input.native, factor)));
}
