import { conv3d, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

/** Settings of {@link Conv3d}; sizes in the order time, height, width. */
export interface Conv3dSettings {
  readonly kernel: readonly [number, number, number];
  readonly stride?: readonly [number, number, number];
  /** Zeros [before, after]. */
  readonly padding?: readonly (readonly [number, number])[];
  readonly bias?: boolean;
}

/** A convolution of channels-last video; parameters as torch's `nn.Conv3d`. */
export class Conv3d extends Module<{ input: Tensor }, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly settings: Conv3dSettings;

  constructor(inputs: number, outputs: number, settings: Conv3dSettings) {
    super();
    this.weight = this.parameter("weight", [outputs, inputs, ...settings.kernel]);
    this.bias = (settings.bias ?? true) ? this.parameter("bias", [outputs]) : undefined;
    this.settings = settings;
  }

  /** (B, T, H, W, inputs) → (B, T′, H′, W′, outputs). */
  protected override forward({ input }: { input: Tensor }): Tensor {
    return conv3d(input, this.weight.value, { ...this.settings, bias: this.bias?.value });
  }
}
