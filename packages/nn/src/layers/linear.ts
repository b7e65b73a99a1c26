import { type Activation, activate, linear, scope, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";
import type { QuantizedWeight } from "../quantization.ts";

/** A linear layer, parameters as torch's `nn.Linear`: weight (outputs, inputs), bias (outputs). */
export class Linear extends Module<{ input: Tensor }, Tensor> {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly activation: Activation;

  /** @param settings `activation` is fused behind the product. */
  constructor(
    inputs: number,
    outputs: number,
    settings: { readonly bias?: boolean; readonly activation?: Activation } = {},
  ) {
    super();
    this.weight = this.parameter("weight", [outputs, inputs], { quantizable: true, featureDim: 0 });
    this.bias = (settings.bias ?? true) ? this.parameter("bias", [outputs], { featureDim: 0 }) : undefined;
    this.activation = settings.activation ?? "none";
  }

  /**
   * (…, inputs) → (…, outputs), in the weight's dtype, which the input must have. With a quantized
   * weight the result has the input's dtype, whichever that is. Where the parameters are narrowed
   * along outputs, the result has those alone.
   */
  protected override forward({ input }: { input: Tensor }): Tensor {
    if (this.weight.quantized) return this.#multiplyQuantized(input, this.weight.quantized);
    return linear(input, this.weight.value, { bias: this.bias?.value, activation: this.activation });
  }

  /**
   * The weight is restored for this product and freed after it: at a video's token counts that takes
   * below 1 % of the product. As bitsandbytes' `Linear4bit`, the product is computed in the weight's
   * dtype, what follows in the input's.
   */
  #multiplyQuantized(input: Tensor, quantized: QuantizedWeight): Tensor {
    return scope(() => {
      const weight = quantized.dequantize();
      if (weight.dtype === input.dtype) {
        return linear(input, weight, { bias: this.bias?.value, activation: this.activation });
      }
      const bias = this.bias?.value.to(weight.dtype);
      return activate(this.activation, linear(input.to(weight.dtype), weight, { bias }).to(input.dtype));
    });
  }
}
