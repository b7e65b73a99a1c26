import * as native from "@wan-ts/binding";
import type { DType } from "../dtype.ts";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** What {@link quantizeNf4} returns. */
export interface Nf4Codes {
  /** uint8 (⌈N / 2⌉, 1): two codes a byte, the element of even index in the high half. */
  readonly packed: Tensor;
  /** float32 (⌈N / blockSize⌉): the greatest magnitude of each block. */
  readonly absmax: Tensor;
}

/** How {@link dequantizeNf4} restores a tensor. */
export interface DequantizeNf4Options {
  readonly shape: readonly number[];
  /** A float dtype. */
  readonly dtype: DType;
  readonly blockSize: number;
}

/** What {@link quantizeBlockwise} returns. */
export interface BlockwiseCodes {
  /** uint8, of the input's shape. */
  readonly codes: Tensor;
  /** float32 (⌈N / blockSize⌉): the greatest magnitude of each block. */
  readonly absmax: Tensor;
}

/** What {@link quantizeInt8} returns. */
export interface Int8Codes {
  /** int8 (N, K). */
  readonly codes: Tensor;
  /** float32 (N): the greatest magnitude of each row. */
  readonly absmax: Tensor;
}

/**
 * 4-bit normal floats (QLoRA, Dettmers et al. 2023) of a float tensor of N elements, in blocks of
 * `blockSize` (16 to 4096, a power of two) consecutive ones. The same bytes as bitsandbytes'
 * `quantize_4bit` gives on a CPU.
 */
export function quantizeNf4(input: Tensor, blockSize: number): Nf4Codes {
  const [packed, absmax] = tensors(() => native.quantizeNf4(input.native, blockSize));
  return { packed, absmax };
}

/** The tensor that {@link quantizeNf4} was given, as near as it keeps it: code · scale, rounded once. */
export function dequantizeNf4({ packed, absmax }: Nf4Codes, options: DequantizeNf4Options): Tensor {
  const { shape, blockSize, dtype } = options;
  return new Tensor(
    callNative(() => native.dequantizeNf4(packed.native, absmax.native, [...shape], blockSize, dtype)),
  );
}

/**
 * 8-bit codes of a float32 tensor by a float32 `table` (256) that ascends from about -1 to 1, in
 * blocks of `blockSize` consecutive elements. The same bytes as bitsandbytes' `quantize_blockwise`
 * gives on an x86 CPU.
 */
export function quantizeBlockwise(input: Tensor, table: Tensor, blockSize: number): BlockwiseCodes {
  const [codes, absmax] = tensors(() => native.quantizeBlockwise(input.native, table.native, blockSize));
  return { codes, absmax };
}

/** The tensor that {@link quantizeBlockwise} was given, float32, as near as it keeps it. */
export function dequantizeBlockwise(
  { codes, absmax }: BlockwiseCodes,
  table: Tensor,
  blockSize: number,
): Tensor {
  return new Tensor(
    callNative(() => native.dequantizeBlockwise(codes.native, absmax.native, table.native, blockSize)),
  );
}

/**
 * 8-bit integers of the rows of a float tensor (N, K), rounded to float16 first, as LLM.int8()
 * (Dettmers et al. 2022) keeps weights. The same bytes as bitsandbytes' `int8_vectorwise_quant`
 * gives on a CPU.
 */
export function quantizeInt8(input: Tensor): Int8Codes {
  const [codes, absmax] = tensors(() => native.quantizeInt8(input.native));
  return { codes, absmax };
}

/** The tensor (N, K) of float `dtype` that {@link quantizeInt8} was given: code · scale / 127, rounded once. */
export function dequantizeInt8({ codes, absmax }: Int8Codes, dtype: DType): Tensor {
  return new Tensor(callNative(() => native.dequantizeInt8(codes.native, absmax.native, dtype)));
}

function tensors(call: () => native.NativeTensor[]): [Tensor, Tensor] {
  return callNative(call).map((handle) => new Tensor(handle)) as [Tensor, Tensor];
}
