import type { QuantizedWeight } from "@wan-ts/nn";
import {
  add,
  type Device,
  type DType,
  dequantizeBlockwise,
  dequantizeNf4,
  embedding,
  keep,
  mean,
  quantizeBlockwise,
  quantizeNf4,
  scope,
  subtract,
  type Tensor,
} from "@wan-ts/tensor";
import { dynamicTable } from "./dynamic-table.ts";
import { ownRange } from "./own-range.ts";
import { misplacedScales, rowStep, rowsMisplaceScales, type ScaleLookup } from "./row-scales.ts";

/** Elements that share a scale, where nothing else is said. */
export const nf4BlockSize = 64;
/** Scales that share a scale, where nothing else is said. */
const nestedBlockSize = 256;

/** The scales of blocks, quantized themselves: table[code] · absmax of the code's block + offset. */
export interface NestedScales {
  /** uint8, a code for each block of the weight. */
  readonly codes: Tensor;
  /** float32, a scale for each block of codes. */
  readonly absmax: Tensor;
  /** float32 (256). */
  readonly table: Tensor;
  /** float32 []. */
  readonly offset: Tensor;
  readonly blockSize: number;
}

/** What an {@link Nf4Weight} is made of. */
export interface Nf4Parts {
  readonly shape: readonly number[];
  /** uint8: two codes a byte. */
  readonly packed: Tensor;
  /** float32, the scale of each block; or those quantized. */
  readonly scales: Tensor | NestedScales;
  readonly blockSize: number;
  /** The dtype that was quantized, and that elements are rounded to first when they are restored. */
  readonly originalDType: DType;
  /** The dtype that the weight is computed in. */
  readonly dtype: DType;
  /** Where scales are looked up; by default exactly. */
  readonly scaleLookup?: ScaleLookup | undefined;
  /** Elements in front of the weight's own, with which it shares its first scale; by default none. */
  readonly skipped?: number;
  /**
   * int32, the index of the scale of each {@link rowStep} elements, of rows that were taken from a
   * weight whose scales aren't all their blocks' own; by default by the rule of {@link ScaleLookup}.
   */
  readonly scaleIndices?: Tensor | undefined;
}

/** How {@link Nf4Weight.quantize} quantizes. */
export interface Nf4Settings {
  /** Quantize the scales of blocks too: 4.13 bits a weight in place of 4.5. */
  readonly doubleQuantization: boolean;
  /** The dtype that the weight is computed in; by default its own. */
  readonly computeDtype?: DType | undefined;
  /** Where scales are looked up when the weight is restored; by default exactly. */
  readonly scaleLookup?: ScaleLookup | undefined;
}

/**
 * A weight in 4-bit normal floats (QLoRA, Dettmers et al. 2023), as bitsandbytes' `Params4bit` holds
 * it: bytes and restored values are the same.
 */
export class Nf4Weight implements QuantizedWeight {
  readonly parts: Nf4Parts;
  /** The index of the scale of each {@link rowStep} elements, where it isn't their block's own. */
  readonly #scaleIndices: Tensor | undefined;

  /** Takes ownership of the tensors. */
  constructor(parts: Nf4Parts) {
    this.parts = keep(parts);
    const { shape, blockSize, scaleLookup, scaleIndices } = parts;
    const misplaced = scaleLookup === "avx512" && rowsMisplaceScales(shape, blockSize);
    this.#scaleIndices =
      scaleIndices ?? (misplaced ? keep(misplacedScales(shape, blockSize, parts.packed.device)) : undefined);
  }

  /** The weight, of any shape and float dtype, which stays the caller's. */
  static quantize(weight: Tensor, settings: Nf4Settings): Nf4Weight {
    return scope(() => {
      const { packed, absmax } = quantizeNf4(weight, nf4BlockSize);
      return new Nf4Weight({
        shape: weight.shape,
        packed,
        scales: settings.doubleQuantization ? nest(absmax) : absmax,
        blockSize: nf4BlockSize,
        originalDType: weight.dtype,
        dtype: settings.computeDtype ?? weight.dtype,
        scaleLookup: settings.scaleLookup,
      });
    });
  }

  get shape(): readonly number[] {
    return this.parts.shape;
  }

  get dtype(): DType {
    return this.parts.dtype;
  }

  get bytes(): number {
    return this.#tensors().reduce((bytes, tensor) => bytes + tensor.bytes, 0);
  }

  dequantize(): Tensor {
    const { packed, shape, originalDType: dtype, skipped = 0 } = this.parts;
    const count = shape.reduce((product, size) => product * size, 1);
    return scope(() => {
      const { absmax, blockSize } = this.#blocks();
      const restored = dequantizeNf4({ packed, absmax }, { shape: [skipped + count], blockSize, dtype });
      return restored.slice(0, skipped).reshape(shape).to(this.dtype);
    });
  }

  rows(start: number, end: number): Nf4Weight {
    const { shape, packed, scales, blockSize, skipped = 0 } = this.parts;
    const rowSize = shape.slice(1).reduce((product, size) => product * size, 1);
    const first = skipped + start * rowSize;
    const last = skipped + end * rowSize;
    const nestedSize = "codes" in scales ? scales.blockSize : 1;
    // Looked-up scales lie anywhere; the others are cut where a scale, or a scale of scales, begins.
    const unit = this.#scaleIndices ? rowStep : blockSize * nestedSize;
    const from = Math.floor(first / unit) * unit;
    return scope(() => {
      const codes = packed.reshape([-1]);
      return new Nf4Weight({
        ...this.parts,
        shape: [end - start, ...shape.slice(1)],
        packed: ownRange(codes, from / 2, Math.ceil(last / 2)),
        scales: this.#scaleIndices
          ? scalesOf(scales, 0, scaleCount(scales))
          : scalesOf(scales, from / blockSize, Math.ceil(last / blockSize)),
        skipped: first - from,
        scaleIndices: this.#scaleIndices && ownRange(this.#scaleIndices, first / rowStep, last / rowStep),
      });
    });
  }

  toDevice(device: Device, options?: { readonly ahead?: boolean }): Nf4Weight {
    const move = (tensor: Tensor): Tensor => tensor.toDevice(device, options);
    const { packed, scales } = this.parts;
    return scope(
      () =>
        new Nf4Weight({
          ...this.parts,
          packed: move(packed),
          scales:
            "codes" in scales
              ? {
                  ...scales,
                  codes: move(scales.codes),
                  absmax: move(scales.absmax),
                  table: move(scales.table),
                  offset: move(scales.offset),
                }
              : move(scales),
          // Moved rather than made anew, which would copy them from this machine each time.
          scaleIndices: this.#scaleIndices && move(this.#scaleIndices),
        }),
    );
  }

  [Symbol.dispose](): void {
    for (const tensor of this.#tensors()) tensor.dispose();
  }

  /** A scale for each block of `blockSize` elements. */
  #blocks(): { readonly absmax: Tensor; readonly blockSize: number } {
    const { scales, blockSize } = this.parts;
    const absmax =
      "codes" in scales
        ? add(dequantizeBlockwise(scales, scales.table, scales.blockSize), scales.offset)
        : scales;
    if (!this.#scaleIndices) return { absmax, blockSize };
    const placed = embedding(absmax.reshape([-1, 1]), this.#scaleIndices);
    return { absmax: placed, blockSize: rowStep };
  }

  #tensors(): Tensor[] {
    const { packed, scales } = this.parts;
    const indices = this.#scaleIndices ? [this.#scaleIndices] : [];
    if (!("codes" in scales)) return [packed, scales, ...indices];
    return [packed, scales.codes, scales.absmax, scales.table, scales.offset, ...indices];
  }
}

function scaleCount(scales: Tensor | NestedScales): number {
  return "codes" in scales ? scales.codes.count : scales.count;
}

/** Scales `start` to `end`; where they are nested, `start` begins a block of them. */
function scalesOf(scales: Tensor | NestedScales, start: number, end: number): Tensor | NestedScales {
  if (!("codes" in scales)) return ownRange(scales.reshape([-1]), start, end);
  const { codes, absmax, table, offset, blockSize } = scales;
  return {
    codes: ownRange(codes.reshape([-1]), start, end),
    absmax: ownRange(absmax.reshape([-1]), start / blockSize, Math.ceil(end / blockSize)),
    table: table.share(),
    offset: offset.share(),
    blockSize,
  };
}

function nest(scales: Tensor): NestedScales {
  const table = dynamicTable(scales.device);
  const offset = mean(scales);
  const { codes, absmax } = quantizeBlockwise(subtract(scales, offset), table, nestedBlockSize);
  return { codes, absmax, table, offset, blockSize: nestedBlockSize };
}
