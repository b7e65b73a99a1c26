import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** Settings of {@link attention}. */
export interface AttentionOptions {
  /** float32, added to the scaled scores; broadcast to (B, H, Sq, Sk). */
  readonly mask?: Tensor | undefined;
  /** Multiplies the scores; by default 1/√D. */
  readonly scale?: number | undefined;
  /** Return the log-sum-exp of each row too. */
  readonly returnLogSumExp?: boolean | undefined;
}

/** What {@link attention} returns. */
export interface AttentionResult {
  /** (B, Sq, H, D), of the query's dtype. */
  readonly output: Tensor;
  /** (B, Sq, H), float32, natural logarithm; only where asked for. */
  readonly logSumExp?: Tensor;
}

/**
 * softmax(query · keyᵀ · scale + mask) · value by the addon's kernel: query (B, Sq, H, D), key and
 * value (B, Sk, H, D), any strides with D contiguous. A row that the mask hides wholly is zero, its
 * log-sum-exp −∞. A row has the same bytes whatever the number of rows, heads and threads.
 */
export function attention(
  query: Tensor,
  key: Tensor,
  value: Tensor,
  options: AttentionOptions = {},
): AttentionResult {
  const scale = options.scale ?? 1 / Math.sqrt(query.size(-1));
  const handles = callNative(() =>
    native.attention(
      query.native,
      key.native,
      value.native,
      options.mask?.native,
      scale,
      options.returnLogSumExp ?? false,
    ),
  );
  const [output, logSumExp] = handles.map((handle) => new Tensor(handle)) as [Tensor, Tensor?];
  return logSumExp ? { output, logSumExp } : { output };
}

/**
 * Attention over the keys of two parts, from what {@link attention} returned for each: outputs
 * (B, S, H, D), of which `first`'s is float32, weighted by their log-sum-exps (B, S, H). Both results are
 * float32, computed in float64. A part without keys, whose log-sum-exp is −∞, adds nothing.
 */
export function mergeAttention(
  first: Required<AttentionResult>,
  second: Required<AttentionResult>,
): Required<AttentionResult> {
  const handles = callNative(() =>
    native.mergeAttention(
      first.output.native,
      first.logSumExp.native,
      second.output.native,
      second.logSumExp.native,
    ),
  );
  const [output, logSumExp] = handles.map((handle) => new Tensor(handle)) as [Tensor, Tensor];
  return { output, logSumExp };
}
