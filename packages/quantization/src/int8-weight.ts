import type { QuantizedWeight } from "@wan-ts/nn";
import {
  type Device,
  type DType,
  dequantizeInt8,
  keep,
  quantizeInt8,
  scope,
  type Tensor,
} from "@wan-ts/tensor";
import { ownRange } from "./own-range.ts";

/** What an {@link Int8Weight} is made of. */
export interface Int8Parts {
  /** int8 (N, K). */
  readonly codes: Tensor;
  /** float32 (N): the greatest magnitude of each row. */
  readonly absmax: Tensor;
  /** The dtype that the weight is computed in. */
  readonly dtype: DType;
}

/**
 * A weight (N, K) in 8-bit integers with a scale for each row, as bitsandbytes' `Int8Params` holds
 * it: bytes and restored values are the same. The product differs from LLM.int8()'s (Dettmers et al.
 * 2022): the weight is restored and multiplied in `dtype`, while LLM.int8() also rounds the input to
 * 8 bits, all but features above a threshold. So a result lies nearer to the unquantized one.
 */
export class Int8Weight implements QuantizedWeight {
  readonly parts: Int8Parts;

  /** Takes ownership of the tensors. */
  constructor(parts: Int8Parts) {
    this.parts = keep(parts);
  }

  /** The weight (N, K) of a float dtype, which stays the caller's. By default computed in its own dtype. */
  static quantize(weight: Tensor, dtype: DType = weight.dtype): Int8Weight {
    return scope(() => new Int8Weight({ ...quantizeInt8(weight), dtype }));
  }

  get shape(): readonly number[] {
    return this.parts.codes.shape;
  }

  get dtype(): DType {
    return this.parts.dtype;
  }

  get bytes(): number {
    return this.parts.codes.bytes + this.parts.absmax.bytes;
  }

  dequantize(): Tensor {
    return dequantizeInt8(this.parts, this.dtype);
  }

  rows(start: number, end: number): Int8Weight {
    const { codes, absmax, dtype } = this.parts;
    return scope(
      () =>
        new Int8Weight({ codes: ownRange(codes, start, end), absmax: ownRange(absmax, start, end), dtype }),
    );
  }

  toDevice(device: Device, options?: { readonly ahead?: boolean }): Int8Weight {
    const { codes, absmax, dtype } = this.parts;
    return scope(
      () =>
        new Int8Weight({
          codes: codes.toDevice(device, options),
          absmax: absmax.toDevice(device, options),
          dtype,
        }),
    );
  }

  [Symbol.dispose](): void {
    this.parts.codes.dispose();
    this.parts.absmax.dispose();
  }
}
