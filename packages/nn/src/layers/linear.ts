import { type Activation, linear, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

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
    this.weight = this.parameter("weight", [outputs, inputs]);
    this.bias = (settings.bias ?? true) ? this.parameter("bias", [outputs]) : undefined;
    this.activation = settings.activation ?? "none";
  }

  /** (…, inputs) → (…, outputs), in the weight's dtype, which the input must have. */
  protected override forward({ input }: { input: Tensor }): Tensor {
    return linear(input, this.weight.value, { bias: this.bias?.value, activation: this.activation });
  }
}
