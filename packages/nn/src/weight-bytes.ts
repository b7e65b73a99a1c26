import { Tensor } from "@wan-ts/tensor";
import type { ModuleNode } from "./module.ts";

/** Bytes that a module's parameters take, by how they are held. */
export interface WeightBytes {
  /** Codes and scales of quantized weights. */
  readonly quantized: number;
  /** Tensors in memory of their own, as they were cast or stored unaligned. */
  readonly cast: number;
  /** Tensors read in place from mapped files, whose pages the system may drop and read again. */
  readonly mapped: number;
}

/** Adds up the bytes of what a module's parameters hold at the moment. */
export function weightBytes(module: ModuleNode): WeightBytes {
  const bytes = { quantized: 0, cast: 0, mapped: 0 };
  for (const [, { held }] of module.namedParameters()) {
    if (held === undefined) continue;
    if (held instanceof Tensor) bytes[held.isMapped ? "mapped" : "cast"] += held.bytes;
    else bytes.quantized += held.bytes;
  }
  return bytes;
}
