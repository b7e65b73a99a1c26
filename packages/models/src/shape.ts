import type { Tensor } from "@wan-ts/tensor";

/** A shape as messages give it: `[2, 16, 3]`. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** Whether `tensor` has exactly `shape`. */
export function hasShape(tensor: Tensor, shape: readonly number[]): boolean {
  return tensor.rank === shape.length && tensor.shape.every((size, dim) => size === shape[dim]);
}
