import { Module, type Parameter } from "@wan-ts/nn";
import { multiply, rmsNorm, type Tensor } from "@wan-ts/tensor";

/** Root-mean-square normalisation; parameter as transformers' `UMT5LayerNorm`. */
export class Umt5Norm extends Module<{ input: Tensor }, Tensor> {
  readonly weight: Parameter;
  readonly epsilon: number;

  constructor(size: number, epsilon: number) {
    super();
    this.weight = this.parameter("weight", [size]);
    this.epsilon = epsilon;
  }

  /** (…, size) → (…, size), of the weight's dtype. Rounded to it before the weight and after, as T5 does. */
  protected override forward({ input }: { input: Tensor }): Tensor {
    const weight = this.weight.value;
    if (input.dtype === weight.dtype) {
      return rmsNorm(input, { weight, epsilon: this.epsilon, roundBeforeWeight: true });
    }
    // The float32 residual stream of a float16 model.
    return multiply(rmsNorm(input, { epsilon: this.epsilon }).to(weight.dtype), weight);
  }
}
