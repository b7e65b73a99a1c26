import type { DType } from "@wan-ts/tensor";

/**
 * How far results of a CUDA device may be from diffusers' and from the processor's, by ‖·‖₂, relative.
 * float32 products are exact products summed in float32, in another order than the processor's, through
 * a few layers; 16-bit results may part as far as those of two right implementations do.
 */
export const modelTolerance: Readonly<Partial<Record<DType, number>>> = {
  float32: 1e-5,
  bfloat16: 0.03,
  float16: 0.03,
};

/** Of one operation: its result's own rounding, and some float32 roundings before. */
export const operationTolerance: Readonly<Partial<Record<DType, number>>> = {
  float32: 1e-6,
  bfloat16: 2 ** -8,
  float16: 2 ** -11,
};
