import { expect } from "bun:test";
import type { DType, Tensor } from "@wan-ts/tensor";
import type { Fixture } from "./read-fixture.ts";

/**
 * What float32 results of two right implementations may part by: sums of some hundred products in
 * another order, each off by up to 2⁻²⁴, through a few layers.
 */
export const float32Tolerance = 2e-6;

/** ‖found − wanted‖ / ‖wanted‖, in float64. */
export function relativeL2(found: Float32Array, wanted: Float32Array): number {
  expect(found.length).toBe(wanted.length);
  let difference = 0;
  let norm = 0;
  for (const [index, value] of wanted.entries()) {
    difference += (found[index]! - value) ** 2;
    norm += value ** 2;
  }
  return Math.sqrt(difference / norm);
}

/**
 * Compares a result with the fixture's of the same name, in values and dtype. A 16-bit result may be
 * as far from torch's as torch's is from the float32 model's.
 */
export function expectClose(fixture: Fixture, name: string, dtype: DType, found: Tensor): void {
  const path = `${dtype}/${name}`;
  using wanted = fixture.tensor(path);
  expect(found.dtype).toBe(wanted.dtype);
  const tolerance = dtype === "float32" ? float32Tolerance : fixture.distances[path]!;
  expect(relativeL2(found.floatsBlocking(), wanted.floatsBlocking())).toBeLessThanOrEqual(tolerance);
}
