import { rmsNorm, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

/** Settings of {@link RmsNorm}. */
export interface RmsNormSettings {
  readonly epsilon: number;
  /** Round to the input's dtype before multiplying by the weight too, as T5 does. */
  readonly roundBeforeWeight?: boolean;
}

/** Root-mean-square normalisation over the last dimension (Zhang and Sennrich 2019), in float32. */
export class RmsNorm extends Module<{ input: Tensor }, Tensor> {
  readonly weight: Parameter;
  readonly settings: RmsNormSettings;

  constructor(size: number, settings: RmsNormSettings) {
    super();
    this.weight = this.parameter("weight", [size]);
    this.settings = settings;
  }

  /** (…, size) → (…, size), of the input's dtype. */
  protected override forward({ input }: { input: Tensor }): Tensor {
    return rmsNorm(input, { weight: this.weight.value, ...this.settings });
  }
}
