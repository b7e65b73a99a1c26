import { type DType, keep, Tensor, TensorError } from "@wan-ts/tensor";
import type { QuantizedWeight } from "./quantization.ts";

/** How a {@link Parameter} differs from a plain one. */
export interface ParameterOptions {
  /** The parameter may be absent from a checkpoint; {@link Parameter.optional} is then undefined. */
  readonly optional?: boolean;
  /** Loaded in this dtype whatever the model's. */
  readonly dtype?: DType;
  /** The parameter may be held quantized: who computes with it asks for {@link Parameter.quantized}. */
  readonly quantizable?: boolean;
}

/** A place for a named tensor of a known shape, filled by loading. */
export class Parameter {
  readonly shape: readonly number[];
  readonly options: ParameterOptions;
  #held: Tensor | QuantizedWeight | undefined;

  constructor(shape: readonly number[], options: ParameterOptions = {}) {
    this.shape = shape;
    this.options = options;
  }

  /**
   * The tensor.
   *
   * @throws {TensorError} `argument` before it is loaded, after it is disposed, and where it is held
   * quantized.
   */
  get value(): Tensor {
    const held = this.#loaded();
    if (held instanceof Tensor) return held;
    throw TensorError.argument("parameter", "value", "a tensor", "a quantized weight");
  }

  /** The tensor, or undefined where none is loaded. */
  get optional(): Tensor | undefined {
    return this.#held && this.value;
  }

  /** The quantized weight, or undefined where a tensor or nothing is held. */
  get quantized(): QuantizedWeight | undefined {
    return this.#held instanceof Tensor ? undefined : this.#held;
  }

  /** The tensor or the quantized weight, or undefined where neither is loaded. */
  get held(): Tensor | QuantizedWeight | undefined {
    return this.#held;
  }

  /**
   * The dtype of the tensor, or the one a quantized weight is computed in.
   *
   * @throws {TensorError} `argument` before it is loaded or after it is disposed.
   */
  get dtype(): DType {
    return this.#loaded().dtype;
  }

  /** Takes ownership of `value`, disposing the one before. Its shape must be this one's. */
  set(value: Tensor | QuantizedWeight): void {
    const { shape } = value;
    if (shape.length !== this.shape.length || shape.some((size, dim) => size !== this.shape[dim])) {
      throw TensorError.argument("parameter", "tensor", `of shape [${this.shape}]`, `[${shape}]`);
    }
    if (!(value instanceof Tensor) && !this.options.quantizable) {
      throw TensorError.argument("parameter", "tensor", "a tensor", "a quantized weight");
    }
    this.dispose();
    this.#held = keep(value);
  }

  /** Lets go of what is held. */
  dispose(): void {
    this.#held?.[Symbol.dispose]();
    this.#held = undefined;
  }

  #loaded(): Tensor | QuantizedWeight {
    if (this.#held) return this.#held;
    throw TensorError.argument(
      "parameter",
      "value",
      `a loaded tensor of shape [${this.shape}]`,
      "not loaded",
    );
  }
}
