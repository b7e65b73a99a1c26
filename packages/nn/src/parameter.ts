import { concatenate, type DType, keep, scope, Tensor, TensorError } from "@wan-ts/tensor";
import type { QuantizedWeight } from "./quantization.ts";

/** How a {@link Parameter} differs from a plain one. */
export interface ParameterOptions {
  /** The parameter may be absent from a checkpoint; {@link Parameter.optional} is then undefined. */
  readonly optional?: boolean;
  /** Loaded in this dtype whatever the model's. */
  readonly dtype?: DType;
  /** The parameter may be held quantized: who computes with it asks for {@link Parameter.quantized}. */
  readonly quantizable?: boolean;
  /**
   * The dimension of the module's output features. A module whose parameters all have one computes
   * fewer features where they are narrowed along it, each as it would among all.
   */
  readonly featureDim?: number;
}

/** Elements `start` to `end` of a parameter along `dim`. */
export interface ParameterPart {
  readonly dim: number;
  readonly start: number;
  readonly end: number;
}

/** A place for a named tensor of a known shape, filled by loading. */
export class Parameter {
  /** The shape that checkpoints store; that of what is held, unless it is narrowed. */
  readonly shape: readonly number[];
  readonly options: ParameterOptions;
  #held: Tensor | QuantizedWeight | undefined;
  #part: ParameterPart | undefined;
  /** What was held before it was narrowed. */
  #whole: Tensor | QuantizedWeight | undefined;
  /** What is held again once a substitute goes. */
  #own: Tensor | QuantizedWeight | undefined;

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

  /** The part that alone is held and loaded, or undefined where the parameter is whole. */
  get part(): ParameterPart | undefined {
    return this.#part;
  }

  /**
   * The dtype of the tensor, or the one a quantized weight is computed in.
   *
   * @throws {TensorError} `argument` before it is loaded or after it is disposed.
   */
  get dtype(): DType {
    return this.#loaded().dtype;
  }

  /** Takes ownership of `value`, disposing the one before. Its shape must be this one's, or the part's. */
  set(value: Tensor | QuantizedWeight): void {
    this.#checkFits(value);
    this.dispose();
    this.#held = keep(value);
  }

  /**
   * Holds `value` in place of what is held: the same on another device, or in another dtype. Takes
   * ownership of it.
   *
   * Returns the way back, which lets go of it; where something else is held by then, that stays.
   *
   * @throws {TensorError} `argument` where nothing is held, or a substitute is.
   */
  substitute(value: Tensor | QuantizedWeight): () => void {
    const own = this.#loaded();
    this.#refuseSubstituted("substitute");
    this.#checkFits(value);
    this.#own = own;
    this.#held = keep(value);
    return () => {
      if (this.#held !== value) return;
      value[Symbol.dispose]();
      this.#held = this.#own;
      this.#own = undefined;
    };
  }

  #refuseSubstituted(operation: string): void {
    if (!this.#own) return;
    throw TensorError.argument("parameter", operation, "called without a substitute", "called with one");
  }

  #checkFits(value: Tensor | QuantizedWeight): void {
    const { shape } = value;
    const expected = this.shape.map((size, dim) =>
      dim === this.#part?.dim ? this.#part.end - this.#part.start : size,
    );
    if (shape.length !== expected.length || shape.some((size, dim) => size !== expected[dim])) {
      throw TensorError.argument("parameter", "tensor", `of shape [${expected}]`, `[${shape}]`);
    }
    if (!(value instanceof Tensor) && !this.options.quantizable) {
      throw TensorError.argument("parameter", "tensor", "a tensor", "a quantized weight");
    }
  }

  /**
   * Holds a part of the parameter alone, now and when it is loaded. Narrow before loading, and no more
   * than the part is ever held; a tensor that is there already stays, under a view of its part.
   *
   * Returns the way back: what was held before is held again, and what was loaded narrowed is let go
   * of, to be loaded anew.
   *
   * @throws {TensorError} `argument` where it is narrowed already, has no such part, or holds a substitute.
   */
  narrow(part: ParameterPart): () => void {
    const { dim, start, end } = part;
    const size = this.shape[dim];
    if (this.#part) {
      const { dim, start, end } = this.#part;
      const found = `narrowed to ${start}..${end} along ${dim}`;
      throw TensorError.argument("parameter", "narrow", "called on a whole parameter", found);
    }
    if (
      size === undefined ||
      ![start, end].every(Number.isInteger) ||
      !(0 <= start && start <= end && end <= size)
    ) {
      const found = `${start}..${end} along ${dim}`;
      throw TensorError.argument("parameter", "part", `a range of a dimension of [${this.shape}]`, found);
    }
    this.#refuseSubstituted("narrow");
    const whole = this.#held;
    this.#held = whole && keep(partOf(whole, part));
    this.#whole = whole;
    this.#part = part;
    let widened = false;
    return () => {
      if (widened) return;
      widened = true;
      this.#held?.[Symbol.dispose]();
      this.#held = this.#whole;
      this.#whole = undefined;
      this.#part = undefined;
    };
  }

  /** Lets go of what is held. A narrowed parameter stays narrowed. */
  dispose(): void {
    for (const held of [this.#held, this.#own, this.#whole]) held?.[Symbol.dispose]();
    this.#held = undefined;
    this.#own = undefined;
    this.#whole = undefined;
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

/** A view of a part, or the rows of a quantized weight. */
function partOf(whole: Tensor | QuantizedWeight, part: ParameterPart): Tensor | QuantizedWeight {
  return whole instanceof Tensor ? whole.slice(part.dim, part.start, part.end) : rowsOf(whole, part);
}

/**
 * A part of a quantized weight.
 *
 * @throws {TensorError} `argument` for other parts than rows.
 */
export function rowsOf(whole: QuantizedWeight, { dim, start, end }: ParameterPart): QuantizedWeight {
  if (dim === 0) return whole.rows(start, end);
  throw TensorError.argument("parameter", "part", "rows, of a quantized weight", `along dimension ${dim}`);
}

/**
 * A part of a tensor that keeps no more than the part in memory: a view of what is mapped, else a
 * copy. Of `dtype`.
 */
export function ownPart(whole: Tensor, { dim, start, end }: ParameterPart, dtype: DType): Tensor {
  return scope(() => {
    const view = whole.slice(dim, start, end);
    // A view would keep all of the storage; joined with nothing it is copied.
    return view.dtype === dtype && !view.isMapped ? concatenate([view], dim) : view.to(dtype);
  });
}
