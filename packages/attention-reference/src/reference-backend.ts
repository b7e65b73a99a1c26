import type {
  AttentionBackend,
  AttentionCall,
  AttentionRefusal,
  AttentionRequest,
  AttentionResult,
} from "@wan-ts/attention";
import { concatenate, type DType, isFloat, type KeyPiece, Tensor, TensorError } from "@wan-ts/tensor";
import { checkCall } from "./check-call.ts";
import { roundToOdd } from "./round-to-odd.ts";

/**
 * Attention in plain TypeScript, the oracle of the other backends: float64 throughout, in two passes
 * over the keys of each row, rounded once to the query's dtype.
 *
 * It blocks the JavaScript thread until its inputs are computed, and while it computes.
 */
export class ReferenceAttentionBackend implements AttentionBackend {
  readonly specificationVersion = 1;
  readonly name = "reference";
  readonly rowInvariant = true;
  readonly keysInPieces = true;

  refusals(request: AttentionRequest): readonly AttentionRefusal[] {
    const refusals: AttentionRefusal[] = [];
    if (request.device !== "cpu") {
      refusals.push({ property: "device", found: request.device, supported: "cpu" });
    }
    if (!isFloat(request.dtype)) {
      refusals.push({ property: "dtype", found: request.dtype, supported: "float32, bfloat16, float16" });
    }
    if (!Number.isInteger(request.headDim) || request.headDim < 1) {
      refusals.push({ property: "headDim", found: `${request.headDim}`, supported: "1 and above" });
    }
    return refusals;
  }

  /**
   * @throws {TensorError} `shape` or `dtype` where the tensors don't fit each other; `argument` for keys in
   * pieces with a mask.
   */
  attend(call: AttentionCall): AttentionResult {
    if (!call.following) return attendToAll(call);
    if (call.mask) throw TensorError.argument("attention", "mask", "none for keys in pieces", "one");
    const { key, value } = joined(call, call.following);
    try {
      return attendToAll({ ...call, key, value });
    } finally {
      key.dispose();
      value.dispose();
    }
  }
}

function attendToAll(call: AttentionCall): AttentionResult {
  const { batch, queries, keys, heads, headDim } = checkCall(call);
  const query = call.query.floatsBlocking(); // (B, Sq, H, D)
  const key = call.key.floatsBlocking(); // (B, Sk, H, D)
  const value = call.value.floatsBlocking(); // (B, Sk, H, D)
  const mask = broadcastMask(call.mask, [batch, heads, queries, keys]); // (B, H, Sq, Sk)
  const scale = call.scale ?? 1 / Math.sqrt(headDim);

  const output = new Float64Array(query.length); // (B, Sq, H, D)
  const logSumExp = new Float64Array(batch * queries * heads); // (B, Sq, H)
  const weights = new Float64Array(keys); // of one row
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queries; i++) {
      for (let h = 0; h < heads; h++) {
        const row = (b * queries + i) * heads + h;
        for (let j = 0; j < keys; j++) {
          const column = (b * keys + j) * heads + h;
          let score = 0;
          for (let d = 0; d < headDim; d++) {
            score += (query[row * headDim + d] as number) * (key[column * headDim + d] as number);
          }
          const addend = mask?.[((b * heads + h) * queries + i) * keys + j] ?? 0;
          weights[j] = score * scale + addend;
        }
        const { sum, maximum } = exponentiate(weights);
        logSumExp[row] = sum === 0 ? Number.NEGATIVE_INFINITY : maximum + Math.log(sum);
        if (sum === 0) continue; // The mask hides every key: the row stays zero.
        for (let j = 0; j < keys; j++) {
          const weight = (weights[j] as number) / sum;
          const column = (b * keys + j) * heads + h;
          for (let d = 0; d < headDim; d++) {
            output[row * headDim + d]! += weight * (value[column * headDim + d] as number);
          }
        }
      }
    }
  }

  return {
    output: roundTo(call.query.dtype, output, call.query.shape),
    ...(call.returnLogSumExp && logSumExpOf(logSumExp, [batch, queries, heads])),
  };
}

/** Keys and values of the whole sequence. */
function joined(first: KeyPiece, following: Iterable<KeyPiece>): KeyPiece {
  const keys = [first.key.share()];
  const values = [first.value.share()];
  try {
    for (const { key, value } of following) {
      keys.push(key.share());
      values.push(value.share());
    }
    return { key: concatenate(keys, 1), value: concatenate(values, 1) };
  } finally {
    for (const tensor of [...keys, ...values]) tensor.dispose();
  }
}

/** In two float32: rounded, and what rounding took away. */
function logSumExpOf(
  exact: Float64Array,
  shape: readonly number[],
): Required<Omit<AttentionResult, "output">> {
  const residue = exact.map((value) => (Number.isFinite(value) ? value - Math.fround(value) : 0));
  return {
    logSumExp: roundTo("float32", exact, shape),
    logSumExpResidue: roundTo("float32", residue, shape),
  };
}

/** Replaces scores by their exponentials relative to the greatest; NaN anywhere makes all of them NaN. */
function exponentiate(scores: Float64Array): { sum: number; maximum: number } {
  let maximum = Number.NEGATIVE_INFINITY;
  for (const score of scores) maximum = Math.max(maximum, score);
  if (maximum === Number.NEGATIVE_INFINITY) return { sum: 0, maximum };
  let sum = 0;
  for (let j = 0; j < scores.length; j++) {
    const weight = Math.exp((scores[j] as number) - maximum);
    scores[j] = weight;
    sum += weight;
  }
  return { sum, maximum };
}

function broadcastMask(mask: Tensor | undefined, shape: readonly number[]): Float32Array | undefined {
  if (!mask) return undefined;
  using whole = mask.expand(shape);
  return whole.floatsBlocking();
}

function roundTo(dtype: DType, values: Float64Array, shape: readonly number[]): Tensor {
  const floats = dtype === "float32" ? Float32Array.from(values) : roundToOdd(values);
  return Tensor.from(floats, shape, dtype);
}
