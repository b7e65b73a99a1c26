import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

function binary(operation: string, left: Tensor, right: Tensor | number): Tensor {
  return new Tensor(
    callNative(() =>
      typeof right === "number"
        ? native.binaryScalar(operation, left.native, right)
        : native.binary(operation, left.native, right.native),
    ),
  );
}

/** left + right, elementwise with broadcasting. Equal dtypes, or a number; 16-bit floats round once. */
export function add(left: Tensor, right: Tensor | number): Tensor {
  return binary("add", left, right);
}

/** left − right; see {@link add}. */
export function subtract(left: Tensor, right: Tensor | number): Tensor {
  return binary("subtract", left, right);
}

/** left · right, elementwise; see {@link add}. */
export function multiply(left: Tensor, right: Tensor | number): Tensor {
  return binary("multiply", left, right);
}

/** left / right, elementwise; see {@link add}. */
export function divide(left: Tensor, right: Tensor | number): Tensor {
  return binary("divide", left, right);
}

/** The larger of the two, elementwise; see {@link add}. */
export function maximum(left: Tensor, right: Tensor | number): Tensor {
  return binary("maximum", left, right);
}

/** The smaller of the two, elementwise; see {@link add}. */
export function minimum(left: Tensor, right: Tensor | number): Tensor {
  return binary("minimum", left, right);
}

/** Values held between `low` and `high`; NaN stays NaN. */
export function clamp(input: Tensor, low: number, high: number): Tensor {
  return new Tensor(callNative(() => native.clamp(input.native, low, high)));
}

/** Σ coefficients[i] · tensors[i] over float32 tensors of one shape, summed in float64 and rounded once. */
export function weightedSum(tensors: readonly Tensor[], coefficients: readonly number[]): Tensor {
  const handles = tensors.map((tensor) => tensor.native);
  return new Tensor(callNative(() => native.weightedSum(handles, [...coefficients])));
}
