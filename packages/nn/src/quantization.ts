import type { Device, DType, Tensor } from "@wan-ts/tensor";
import type { StateProblem, TensorSource } from "./load.ts";

/** A weight held in fewer bits than it is computed in. */
export interface QuantizedWeight extends Disposable {
  readonly shape: readonly number[];
  /** Of what {@link QuantizedWeight.dequantize} gives, and of products with it. */
  readonly dtype: DType;
  /** Bytes of codes and scales. */
  readonly bytes: number;
  /** The weight, of `shape` and `dtype`: a new tensor, which the scope around owns. */
  dequantize(): Tensor;
  /**
   * Rows `start` to `end` of the weight (N, K), restored to the same bytes as among all. It keeps no
   * more in memory than it needs, and both are disposed by themselves.
   */
  rows(start: number, end: number): QuantizedWeight;
  /**
   * The weight on a device, its codes and scales moved as they are. Both are disposed by themselves.
   *
   * @param options `ahead` as `Tensor.toDevice` has it.
   */
  toDevice(device: Device, options?: { readonly ahead?: boolean }): QuantizedWeight;
}

/** A weight that a checkpoint stores quantized. */
export interface StoredWeight {
  /** The stored tensors that make it up. */
  readonly names: readonly string[];
  /** What is wrong with them; where there is anything, {@link StoredWeight.load} isn't called. */
  readonly problems: readonly StateProblem[];
  /** The weight, for a model of `dtype`. */
  load(dtype: DType): QuantizedWeight;
}

/** Which weights of linear layers are held quantized, and how. */
export interface WeightQuantization {
  /**
   * The weight `name` of `shape` as `source` stores it, or undefined where it is stored plain. Reads
   * no codes or scales.
   */
  stored(name: string, shape: readonly number[], source: TensorSource): StoredWeight | undefined;
  /**
   * A weight that is stored plain, quantized; undefined leaves it plain. `weight` is of the model's
   * dtype and stays the caller's.
   */
  quantize(name: string, weight: Tensor): QuantizedWeight | undefined;
}
