import { Linear, Module } from "@wan-ts/nn";
import type { Activation, Tensor } from "@wan-ts/tensor";

/** Sizes of a {@link FeedForward}. */
export interface FeedForwardSettings {
  readonly inputs: number;
  readonly inner: number;
  readonly outputs: number;
  readonly activation: Activation;
}

/** Two linear layers with an activation between; parameters as diffusers' `FeedForward`. */
export class FeedForward extends Module<{ input: Tensor }, Tensor> {
  readonly expand: Linear;
  readonly contract: Linear;

  constructor({ inputs, inner, outputs, activation }: FeedForwardSettings) {
    super();
    this.expand = this.child("net.0.proj", new Linear(inputs, inner, { activation }));
    this.contract = this.child("net.2", new Linear(inner, outputs));
  }

  /** (…, inputs) → (…, outputs). */
  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.contract.call({ input: this.expand.call({ input }) });
  }
}
