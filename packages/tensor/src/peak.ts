import * as native from "@wan-ts/binding";
import { awaitNative } from "./errors.ts";

/**
 * GFLOP/s that the threads and the instruction set in use reach on registers alone: what a kernel's
 * figure is set against. A product and a sum count as two.
 *
 * @param dtype `float32`: fused multiply-adds; `bfloat16`: dot products of pairs.
 * @param seconds how long to measure, at most 60. The stream computes nothing else meanwhile.
 * @returns undefined where the instruction set has no such instruction.
 * @throws {TensorError} `argument`
 */
export async function measurePeak(
  dtype: "float32" | "bfloat16",
  seconds: number,
): Promise<number | undefined> {
  return (await awaitNative(() => native.measurePeak(dtype, seconds))) ?? undefined;
}
