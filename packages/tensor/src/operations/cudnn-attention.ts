import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import type { AttentionOptions, AttentionResult } from "./attention.ts";

/**
 * The version of NVIDIA's cuDNN that {@link cudnnAttention} is computed by, such as `9.26.0`. Opens the
 * library and no device.
 *
 * @throws {TensorError} `device` with what was tried, where there is none, or none that serves with the driver
 * at hand.
 */
export function cudnnVersion(): string {
  return callNative(() => native.cudnnVersion());
}

/**
 * softmax(query · keyᵀ · scale) · value by NVIDIA's cuDNN, on a CUDA device: query (B, Sq, H, D), key and
 * value (B, Sk, H, D), all bfloat16 or float16, D a multiple of 8 up to 128. The log-sum-exp comes without
 * its residue. Last bits of a row may depend on the number of rows.
 *
 * @throws {TensorError} `dtype`, `shape`, `device` or `argument` at once for what it doesn't take; reading the
 * result throws `cuda` where cuDNN isn't there or has no way of computing it.
 */
export function cudnnAttention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  { scale = 1 / Math.sqrt(query.size(-1)), returnLogSumExp = false }: Omit<AttentionOptions, "mask"> = {},
): Omit<AttentionResult, "logSumExpResidue"> {
  const handles = callNative(() =>
    native.cudnnAttention(query.native, key.native, value.native, scale, returnLogSumExp),
  );
  const [output, logSumExp] = handles.map((handle) => new Tensor(handle)) as [Tensor, Tensor?];
  return logSumExp ? { output, logSumExp } : { output };
}
