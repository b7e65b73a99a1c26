import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** Bias, stride and padding of {@link conv3d}; sizes in the order time, height, width. */
export interface Conv3dOptions {
  /** (O). */
  readonly bias?: Tensor | undefined;
  /** Steps; by default 1. */
  readonly stride?: readonly [number, number, number];
  /** Zeros [before, after]; by default none. */
  readonly padding?: readonly (readonly [number, number])[];
}

/**
 * Convolution of channels-last video: input (B, T, H, W, C), weight (O, C, kT, kH, kW) as torch's
 * `nn.Conv3d` stores it → (B, T′, H′, W′, O). Equal float dtypes; sums are float32, rounded once.
 */
export function conv3d(input: Tensor, weight: Tensor, options: Conv3dOptions = {}): Tensor {
  const stride = [...(options.stride ?? [1, 1, 1])];
  const padding = (
    options.padding ?? [
      [0, 0],
      [0, 0],
      [0, 0],
    ]
  ).map((pair) => [...pair]);
  return new Tensor(
    callNative(() => native.conv3d(input.native, weight.native, options.bias?.native, stride, padding)),
  );
}
