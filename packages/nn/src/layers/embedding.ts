import { embedding, type Tensor } from "@wan-ts/tensor";
import { Module } from "../module.ts";
import type { Parameter } from "../parameter.ts";

/** A table of vectors, parameter as torch's `nn.Embedding`: weight (count, size). */
export class Embedding extends Module<{ indices: Tensor }, Tensor> {
  readonly weight: Parameter;

  constructor(count: number, size: number) {
    super();
    this.weight = this.parameter("weight", [count, size], { featureDim: 1 });
  }

  /** int32 or int64 (…) → (…, size), or what of it the weight is narrowed to. */
  protected override forward({ indices }: { indices: Tensor }): Tensor {
    return embedding(this.weight.value, indices);
  }
}
