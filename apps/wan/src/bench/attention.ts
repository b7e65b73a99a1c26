import { CudnnAttentionBackend } from "@wan-ts/attention-native";
import { attention, cudnnAttention, cudnnVersion, type Device, type Tensor } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily, PreparedCase } from "./case.ts";
import { checkClose, unitRoundoff } from "./check-close.ts";
import { partOf, sampledPlaces, uniformRows } from "./values.ts";

/** The sizes of one attention. */
export interface AttentionSizes {
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headDim: number;
}

/** Self-attention of 4,096 tokens, then cross-attention to text and to an image; Wan-1.3B's heads. */
const sizes: readonly AttentionSizes[] = [4096, 512, 257].map((keys) => ({
  queries: 4096,
  keys,
  heads: 12,
  headDim: 128,
}));

/** Self-attention of whole videos, with 14B's heads, and with heads of half their size. */
const longSizes: readonly AttentionSizes[] = [128, 64].flatMap((headDim) =>
  [8192, 16_384, 32_768].map((tokens) => ({ queries: tokens, keys: tokens, heads: 40, headDim })),
);

/** Attention with Wan's heads. */
export const attentionFamily: BenchmarkFamily = {
  name: "attention",
  cases: sizes.flatMap((each) =>
    (["bfloat16", "float32"] as const).map((dtype) => attentionCase(each, dtype)),
  ),
  cudaCases: longSizes.map((each) => attentionCase(each, "bfloat16")),
};

/** One attention of every query to every key. */
export function attentionCase(
  { queries, keys, heads, headDim }: AttentionSizes,
  dtype: BenchDType,
): BenchmarkCase {
  return {
    case: `S ${queries}, keys ${keys}, H ${heads}, D ${headDim}`,
    dtype,
    peer: { operation: "attention", dtype, queries, keys, heads, headDim },
    prepare(device) {
      // Scores of standard deviation about 1.5, so that softmax is neither flat nor one-hot.
      const query = uniformRows([1, queries, heads, headDim], dtype, 1, { scale: 2, device });
      const key = uniformRows([1, keys, heads, headDim], dtype, 2, { scale: 2, device });
      const value = uniformRows([1, keys, heads, headDim], dtype, 3, { device });
      return {
        flops: 4 * queries * keys * heads * headDim,
        run: () => attention(query, key, value).output,
        ...besideCudnn(device, dtype, headDim, () => cudnnAttention(query, key, value).output),
        async check(output) {
          for (const head of [0, 5, heads - 1]) {
            const of = (tensor: Tensor, start: number, end: number): Promise<Float32Array> =>
              partOf(tensor, [
                [0, 1],
                [start, end],
                [head, head + 1],
              ]);
            const keyValues = { key: await of(key, 0, keys), value: await of(value, 0, keys) };
            for (const row of sampledPlaces(queries, 4)) {
              const expected = attendRow(await of(query, row, row + 1), keyValues, headDim);
              const found = await of(output, row, row + 1);
              for (const [dim, { sum, magnitude }] of expected.entries()) {
                // Probabilities and result are rounded to the dtype once each; scores are float32 sums.
                const scores = 2 * headDim * unitRoundoff("float32") * 16;
                const allowed =
                  (2 * unitRoundoff(dtype) + scores) * magnitude + unitRoundoff(dtype) * Math.abs(sum);
                checkClose(found[dim] as number, sum, allowed, `row ${row}, head ${head}, dim ${dim}`);
              }
            }
          }
        },
        [Symbol.dispose]() {
          for (const tensor of [query, key, value]) tensor.dispose();
        },
      };
    },
  };
}

/** The same by cuDNN, on devices and in types that it computes. */
function besideCudnn(
  device: Device,
  dtype: BenchDType,
  headDim: number,
  run: () => Tensor,
): Pick<PreparedCase, "cudnn"> {
  if (device === "cpu" || dtype === "float32") return {};
  const request = { device, dtype, headDim, mask: false, logSumExp: false };
  const [refusal] = new CudnnAttentionBackend().refusals(request);
  return { cudnn: refusal ? { absent: refusal.found } : { name: `cudnn ${cudnnVersion()}`, run } };
}

/** One query's attention in float64: Σ p·v of each feature, and Σ p·|v|. */
function attendRow(
  query: Float32Array,
  { key, value }: { readonly key: Float32Array; readonly value: Float32Array },
  headDim: number,
): { sum: number; magnitude: number }[] {
  const scores = Array.from({ length: key.length / headDim }, (_, at) => {
    let score = 0;
    for (const [dim, q] of query.entries()) score += q * (key[at * headDim + dim] as number);
    return score / Math.sqrt(headDim);
  });
  const greatest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - greatest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Array.from({ length: headDim }, (_, dim) => {
    let sum = 0;
    let magnitude = 0;
    for (const [at, weight] of weights.entries()) {
      const product = (weight / total) * (value[at * headDim + dim] as number);
      sum += product;
      magnitude += Math.abs(product);
    }
    return { sum, magnitude };
  });
}
