import type { Device, DType, KeyPiece, Tensor } from "@wan-ts/tensor";

/** What a model will ask of attention: known from its configuration, before weights load. */
export interface AttentionRequest {
  readonly device: Device;
  readonly dtype: DType;
  readonly headDim: number;
  /** An additive mask will be given. */
  readonly mask: boolean;
  /** The log-sum-exp will be asked for. */
  readonly logSumExp: boolean;
  /**
   * A row must have the same bytes whatever it is computed with. {@link AttentionBackend.rowInvariant}
   * answers it: `refusals` need not.
   */
  readonly rowInvariant?: boolean;
  /** Keys will come in pieces. {@link AttentionBackend.keysInPieces} answers it: `refusals` need not. */
  readonly keysInPieces?: boolean;
}

/** Why a backend can't serve a request: one property, what was asked, what is supported. */
export interface AttentionRefusal {
  readonly property: keyof AttentionRequest;
  readonly found: string;
  readonly supported: string;
}

/** The arguments of one attention. */
export interface AttentionCall {
  /** (B, Sq, H, D), any strides with D contiguous. */
  readonly query: Tensor;
  /** (B, Sk, H, D). */
  readonly key: Tensor;
  /** (B, Sk, H, D). */
  readonly value: Tensor;
  /**
   * Keys and values that follow `key` and `value` in the sequence, piece by piece; each is disposed by
   * whoever gives it once the next is asked for. Only for a backend of `keysInPieces`, and never
   * with a mask.
   */
  readonly following?: Iterable<KeyPiece> | undefined;
  /** float32, added to the scaled scores; broadcast to (B, H, Sq, Sk). */
  readonly mask?: Tensor | undefined;
  /** Multiplies the scores; by default 1/√D. */
  readonly scale?: number | undefined;
  readonly returnLogSumExp?: boolean | undefined;
}

/** What attention returns. */
export interface AttentionResult {
  /** (B, Sq, H, D), contiguous, of the query's dtype. */
  readonly output: Tensor;
  /** (B, Sq, H), float32, natural logarithm of the sum of exponentials of scaled and masked scores. */
  readonly logSumExp?: Tensor;
  /**
   * (B, Sq, H), float32: the exact log-sum-exp less the rounded one, so that their sum has twice the
   * digits; 0 where the log-sum-exp isn't finite. A backend may give it beside the log-sum-exp, never
   * without, and may leave it out, for one call or for all.
   *
   * Results over parts of the keys are weighed by the exponential of the log-sum-exp. Rounded to
   * float32, one above 16 is off by up to 1e-6, and so are its weights; where the residue is
   * given, a ring is as near to attention in one piece as the backend's own rounding allows.
   */
  readonly logSumExpResidue?: Tensor;
}

/**
 * Scaled dot-product attention by one implementation.
 *
 * Contract, checked by the conformance suite: softmax in float32 or better, relative to
 * the greatest score; a row that the mask hides wholly gives zeros and a log-sum-exp of −∞; NaN in a
 * query, or a score of +∞, makes its row NaN and no other; inputs are left as they were.
 */
export interface AttentionBackend {
  readonly specificationVersion: 1;
  /** The name it is chosen by. */
  readonly name: string;
  /**
   * Whether a row has the same bytes whatever the other rows, heads and batches it is computed with,
   * and whatever the number of threads. Splitting a model over ranks changes no pixel only then, and a
   * backend that doesn't declare it is refused where that is promised.
   */
  readonly rowInvariant?: boolean;
  /**
   * Whether it takes keys and values in pieces ({@link AttentionCall.following}), with the bytes that all
   * of them at once would give, however they are cut. Ranks in a ring then hand them round in the order
   * of the sequence, and change no pixel.
   */
  readonly keysInPieces?: boolean;
  /** Every reason why `request` can't be served; empty where it can. Costs nothing. */
  refusals(request: AttentionRequest): readonly AttentionRefusal[];
  /** Computes one attention. The caller owns what is returned, and still owns what it passed. */
  attend(call: AttentionCall): AttentionResult;
}
