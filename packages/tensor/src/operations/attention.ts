import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** Settings of {@link attention}. */
export interface AttentionOptions {
  /** float32, added to the scaled scores; broadcast to (B, H, Sq, Sk). */
  readonly mask?: Tensor | undefined;
  /** Multiplies the scores; by default 1/√D. */
  readonly scale?: number | undefined;
  /** Return the log-sum-exp of each row, and its residue, too. */
  readonly returnLogSumExp?: boolean | undefined;
}

/** What {@link attention} returns. */
export interface AttentionResult {
  /** (B, Sq, H, D), of the query's dtype. */
  readonly output: Tensor;
  /** (B, Sq, H), float32, natural logarithm; only where asked for. */
  readonly logSumExp?: Tensor;
  /** (B, Sq, H), float32: what rounding took from the log-sum-exp, 0 where that isn't finite. */
  readonly logSumExpResidue?: Tensor;
}

/** Attention to some of the keys, as {@link mergeAttention} takes it. */
export interface PartialAttention {
  /** (B, S, H, D). */
  readonly output: Tensor;
  /** (B, S, H), float32. */
  readonly logSumExp: Tensor;
  /** (B, S, H), float32: what is to be added to the log-sum-exp, where more of it is known. */
  readonly logSumExpResidue?: Tensor | undefined;
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
  const [output, logSumExp, logSumExpResidue] = handles.map((handle) => new Tensor(handle)) as [
    Tensor,
    Tensor?,
    Tensor?,
  ];
  return logSumExp && logSumExpResidue ? { output, logSumExp, logSumExpResidue } : { output };
}

/**
 * Attention over the keys of two parts, from what {@link attention} returned for each: outputs, of
 * which `first`'s is float32, weighted by the exponentials of their log-sum-exps. All results are
 * float32, computed in float64. A part without keys, whose log-sum-exp is −∞, adds nothing.
 *
 * Without residues a weight is off by half a unit in the last place of the log-sum-exp: relatively by
 * up to 1e-6 where that is above 16.
 *
 * @throws {TensorError} `shape` or `dtype`, naming the argument that doesn't fit.
 */
export function mergeAttention(first: PartialAttention, second: PartialAttention): Required<AttentionResult> {
  const handles = callNative(() =>
    native.mergeAttention(
      first.output.native,
      first.logSumExp.native,
      second.output.native,
      second.logSumExp.native,
      first.logSumExpResidue?.native,
      second.logSumExpResidue?.native,
    ),
  );
  const [output, logSumExp, logSumExpResidue] = handles.map((handle) => new Tensor(handle)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  return { output, logSumExp, logSumExpResidue };
}
