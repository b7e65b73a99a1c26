import type { AttentionOutputs, AttentionValues } from "./attention-values.ts";

/** What the suite compares with: softmax(query · keyᵀ · scale + mask) · value in float64, by plain loops. */
export function exactAttention(values: AttentionValues): AttentionOutputs {
  const { batch, queries, keys, heads, headDim } = values;
  const output = new Float64Array(batch * queries * heads * headDim);
  const logSumExp = new Float64Array(batch * queries * heads);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const scores = exactScores(values, b, h, i);
        const row = (b * queries + i) * heads + h;
        const greatest = scores.reduce((left, right) => Math.max(left, right), Number.NEGATIVE_INFINITY);
        if (greatest === Number.NEGATIVE_INFINITY) {
          logSumExp[row] = greatest;
          continue; // A row without keys to attend to is zero.
        }
        const weights = scores.map((score) => Math.exp(score - greatest));
        const sum = weights.reduce((left, right) => left + right, 0);
        logSumExp[row] = greatest + Math.log(sum);
        for (let d = 0; d < headDim; d++) {
          let total = 0;
          for (let j = 0; j < keys; j++) {
            total +=
              (weights[j] as number) * (values.value[((b * keys + j) * heads + h) * headDim + d] as number);
          }
          output[row * headDim + d] = total / sum;
        }
      }
    }
  }
  return { output, logSumExp };
}

/** The scaled and masked scores of one row. */
function exactScores(values: AttentionValues, b: number, h: number, i: number): Float64Array {
  const { queries, keys, heads, headDim, query, key, mask, scale } = values;
  const queryStart = ((b * queries + i) * heads + h) * headDim;
  const maskStart = ((b * heads + h) * queries + i) * keys;
  return Float64Array.from({ length: keys }, (_, j) => {
    const keyStart = ((b * keys + j) * heads + h) * headDim;
    let product = 0;
    for (let d = 0; d < headDim; d++)
      product += (query[queryStart + d] as number) * (key[keyStart + d] as number);
    return product * scale + (mask?.[maskStart + j] ?? 0);
  });
}

/** The largest finite scaled score, without sign, of any row; the mask left out. */
export function largestScore(values: AttentionValues): number {
  const unmasked = { ...values, mask: undefined };
  let largest = 0;
  for (let b = 0; b < values.batch; b++) {
    for (let h = 0; h < values.heads; h++) {
      for (let i = 0; i < values.queries; i++) {
        for (const score of exactScores(unmasked, b, h, i)) {
          if (Number.isFinite(score)) largest = Math.max(largest, Math.abs(score));
        }
      }
    }
  }
  return largest;
}
