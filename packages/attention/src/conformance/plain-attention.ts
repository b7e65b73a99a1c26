import type { TestedDType } from "./attention-setup.ts";
import type { AttentionOutputs, AttentionValues } from "./attention-values.ts";

const { fround } = Math;

/**
 * The straightforward implementation in `dtype`, whose error is the measure of others': float32
 * products and sums in order, each rounded; probabilities relative to the greatest score, rounded to
 * `dtype` before they meet the values; the output rounded to `dtype`.
 */
export function plainAttention(values: AttentionValues, dtype: TestedDType): AttentionOutputs {
  const { batch, queries, keys, heads, headDim, query, key, value, mask } = values;
  const round = rounding(dtype);
  const scale = fround(values.scale);
  const output = new Float64Array(batch * queries * heads * headDim);
  const logSumExp = new Float64Array(batch * queries * heads);
  const weights = new Float32Array(keys);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < queries; i++) {
      for (let h = 0; h < heads; h++) {
        const row = (b * queries + i) * heads + h;
        const maskStart = ((b * heads + h) * queries + i) * keys;
        let greatest = Number.NEGATIVE_INFINITY;
        for (let j = 0; j < keys; j++) {
          const keyStart = ((b * keys + j) * heads + h) * headDim;
          let score = 0;
          for (let d = 0; d < headDim; d++) {
            score = fround(score + fround(query[row * headDim + d]! * key[keyStart + d]!));
          }
          weights[j] = fround(fround(score * scale) + (mask?.[maskStart + j] ?? 0));
          greatest = Math.max(greatest, weights[j] as number);
        }
        if (greatest === Number.NEGATIVE_INFINITY) {
          logSumExp[row] = greatest;
          continue;
        }
        let sum = 0;
        for (let j = 0; j < keys; j++) {
          const weight = fround(Math.exp(fround(weights[j]! - greatest)));
          sum = fround(sum + weight);
          weights[j] = round(weight);
        }
        logSumExp[row] = fround(greatest + fround(Math.log(sum)));
        for (let d = 0; d < headDim; d++) {
          let total = 0;
          for (let j = 0; j < keys; j++) {
            const element = value[((b * keys + j) * heads + h) * headDim + d]!;
            total = fround(total + fround(weights[j]! * element));
          }
          output[row * headDim + d] = round(fround(total / sum));
        }
      }
    }
  }
  return { output, logSumExp };
}

/** Rounding of a float32 number to nearest, ties to even. */
function rounding(dtype: TestedDType): (value: number) => number {
  switch (dtype) {
    case "float32":
      return fround;
    case "float16":
      return Math.f16round;
    case "bfloat16":
      return bfloat16Rounding();
  }
}

function bfloat16Rounding(): (value: number) => number {
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  return (value) => {
    if (Number.isNaN(value)) return value;
    float[0] = value;
    const pattern = bits[0] as number;
    bits[0] = (pattern + 0x7fff + ((pattern >>> 16) & 1)) & 0xffff0000;
    return float[0];
  };
}
