import { type DType, keep, type Tensor, TensorError } from "@wan-ts/tensor";

/** How a {@link Parameter} differs from a plain one. */
export interface ParameterOptions {
  /** The parameter may be absent from a checkpoint; {@link Parameter.optional} is then undefined. */
  readonly optional?: boolean;
  /** Loaded in this dtype whatever the model's. */
  readonly dtype?: DType;
}

/** A place for a named tensor of a known shape, filled by loading. */
export class Parameter {
  readonly shape: readonly number[];
  readonly options: ParameterOptions;
  #tensor: Tensor | undefined;

  constructor(shape: readonly number[], options: ParameterOptions = {}) {
    this.shape = shape;
    this.options = options;
  }

  /**
   * The tensor.
   *
   * @throws {TensorError} `argument` before it is loaded or after it is disposed.
   */
  get value(): Tensor {
    if (!this.#tensor) {
      throw TensorError.argument(
        "parameter",
        "value",
        `a loaded tensor of shape [${this.shape}]`,
        "not loaded",
      );
    }
    return this.#tensor;
  }

  /** The tensor, or undefined where none is loaded. */
  get optional(): Tensor | undefined {
    return this.#tensor;
  }

  /** Takes ownership of `tensor`, disposing the one before. Its shape must be this one's. */
  set(tensor: Tensor): void {
    if (tensor.rank !== this.shape.length || tensor.shape.some((size, dim) => size !== this.shape[dim])) {
      throw TensorError.argument("parameter", "tensor", `of shape [${this.shape}]`, `[${tensor.shape}]`);
    }
    this.#tensor?.dispose();
    this.#tensor = keep(tensor);
  }

  /** Lets go of the tensor. */
  dispose(): void {
    this.#tensor?.dispose();
    this.#tensor = undefined;
  }
}
