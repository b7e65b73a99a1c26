import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/**
 * Rotary position embedding (Su et al. 2021) of interleaved pairs: input (B, S, H, D), cos and sin
 * float32 (B or 1, S, D/2) → (B, S, H, D), in float32 and rounded once to the input's dtype.
 */
export function rotary(input: Tensor, cos: Tensor, sin: Tensor): Tensor {
  return new Tensor(callNative(() => native.rotary(input.native, cos.native, sin.native)));
}

/** Settings of {@link rmsNormRotary}. */
export interface RmsNormRotaryOptions {
  /** (H·D). */
  readonly weight: Tensor;
  /** float32 (B or 1, S, D/2). */
  readonly cos: Tensor;
  /** float32 (B or 1, S, D/2). */
  readonly sin: Tensor;
  readonly heads: number;
  readonly epsilon: number;
}

/**
 * {@link rmsNorm} over all heads of input (B, S, H·D), rounded to its dtype, then {@link rotary} →
 * (B, S, H, D); one pass over memory, the bytes of the two operations.
 */
export function rmsNormRotary(input: Tensor, options: RmsNormRotaryOptions): Tensor {
  const { weight, cos, sin, heads, epsilon } = options;
  return new Tensor(
    callNative(() =>
      native.rmsNormRotary(input.native, weight.native, cos.native, sin.native, heads, epsilon),
    ),
  );
}
