import { layerNorm, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

/** Settings of {@link LayerNorm}. */
export interface LayerNormSettings {
  readonly epsilon: number;
  /** Whether it has weight and bias; by default it has. */
  readonly affine?: boolean;
}

/** Layer normalisation over the last dimension in float32, rounded once to the input's dtype. */
export class LayerNorm extends Module<{ input: Tensor; scale?: Tensor; shift?: Tensor }, Tensor> {
  readonly weight: Parameter | undefined;
  readonly bias: Parameter | undefined;
  readonly epsilon: number;

  constructor(size: number, settings: LayerNormSettings) {
    super();
    const affine = settings.affine ?? true;
    this.weight = affine ? this.parameter("weight", [size]) : undefined;
    this.bias = affine ? this.parameter("bias", [size]) : undefined;
    this.epsilon = settings.epsilon;
  }

  /** (…, size) → (…, size); `scale` and `shift`, float32, modulate: norm · (1 + scale) + shift. */
  protected override forward(inputs: { input: Tensor; scale?: Tensor; shift?: Tensor }): Tensor {
    return layerNorm(inputs.input, {
      weight: this.weight?.value,
      bias: this.bias?.value,
      scale: inputs.scale,
      shift: inputs.shift,
      epsilon: this.epsilon,
    });
  }
}
