import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import type { Activation } from "./activation.ts";

/** What {@link layerNorm} multiplies and adds after normalising. */
export interface LayerNormOptions {
  readonly epsilon: number;
  /** (C). */
  readonly weight?: Tensor | undefined;
  /** (C). */
  readonly bias?: Tensor | undefined;
  /** float32, broadcast to the input: the result is multiplied by 1 + scale. */
  readonly scale?: Tensor | undefined;
  /** float32, broadcast to the input. */
  readonly shift?: Tensor | undefined;
}

/**
 * Layer normalisation over the last dimension: ((x − mean) / √(variance + ε) · weight + bias) ·
 * (1 + scale) + shift, wholly in float32 and rounded once to the input's dtype.
 */
export function layerNorm(input: Tensor, options: LayerNormOptions): Tensor {
  const { weight, bias, scale, shift, epsilon } = options;
  return new Tensor(
    callNative(() =>
      native.layerNorm(input.native, weight?.native, bias?.native, scale?.native, shift?.native, epsilon),
    ),
  );
}

/** Settings of {@link rmsNorm}. */
export interface RmsNormOptions {
  readonly epsilon: number;
  /** (C), of the input's dtype or float32. */
  readonly weight?: Tensor | undefined;
  /** Round to the input's dtype before multiplying by the weight too, as T5 does. */
  readonly roundBeforeWeight?: boolean;
}

/** x / √(mean(x²) + ε) · weight over the last dimension, in float32, rounded to the input's dtype. */
export function rmsNorm(input: Tensor, options: RmsNormOptions): Tensor {
  return new Tensor(
    callNative(() =>
      native.rmsNorm(
        input.native,
        options.weight?.native,
        options.epsilon,
        options.roundBeforeWeight ?? false,
      ),
    ),
  );
}

/** Settings of {@link channelNorm}. */
export interface ChannelNormOptions {
  /** (C). */
  readonly weight: Tensor;
  /** (C). */
  readonly bias?: Tensor | undefined;
  /** Applied last; by default none. */
  readonly activation?: Activation;
}

/**
 * Normalisation of the last dimension to length √C: x / max(‖x‖₂, 1e-12) · √C · weight + bias, the
 * "RMS norm" of the Wan VAE, then an activation.
 */
export function channelNorm(input: Tensor, options: ChannelNormOptions): Tensor {
  const { weight, bias, activation } = options;
  return new Tensor(
    callNative(() => native.channelNorm(input.native, weight.native, bias?.native, activation ?? "none")),
  );
}

/** residual + update · gate in float32, rounded once to the residual's dtype. Gate: float32, broadcast. */
export function gatedResidual(residual: Tensor, update: Tensor, gate: Tensor): Tensor {
  return new Tensor(callNative(() => native.gatedResidual(residual.native, update.native, gate.native)));
}
