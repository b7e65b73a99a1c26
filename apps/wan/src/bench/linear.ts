import { linear } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkClose, sumError } from "./check-close.ts";
import { partOf, sampledPlaces, uniformRows } from "./values.ts";
import { tokenCount, videos } from "./video-sizes.ts";

/** (M, N, K) of Wan-1.3B's projections and feed-forward over 4,096 tokens. */
const shapes = [
  [4096, 1536, 1536],
  [4096, 8960, 1536],
  [4096, 1536, 8960],
] as const;

/** (N, K) of the projections and the feed-forward of 1.3B and of 14B. */
const layers = [
  [1536, 1536],
  [8960, 1536],
  [1536, 8960],
  [5120, 5120],
  [13_824, 5120],
  [5120, 13_824],
] as const;

/** Linear layers: (M, K) · (N, K)ᵀ. */
export const linearFamily: BenchmarkFamily = {
  name: "linear",
  cases: shapes.flatMap((shape) =>
    (["bfloat16", "float32"] as const).map((dtype) => linearCase(shape, dtype)),
  ),
  cudaCases: layers.map(([outputs, inputs]) =>
    linearCase([tokenCount(videos.at480p81), outputs, inputs], "bfloat16"),
  ),
};

/** One (M, K) · (N, K)ᵀ. */
export function linearCase(
  [rows, outputs, inputs]: readonly [rows: number, outputs: number, inputs: number],
  dtype: BenchDType,
): BenchmarkCase {
  return {
    case: `M ${rows}, N ${outputs}, K ${inputs}`,
    dtype,
    peer: { operation: "linear", dtype, rows, outputs, inputs },
    prepare(device) {
      const input = uniformRows([rows, inputs], dtype, 1, { device });
      const weight = uniformRows([outputs, inputs], dtype, 2, { device });
      return {
        flops: 2 * rows * outputs * inputs,
        run: () => linear(input, weight),
        async check(result) {
          for (const row of sampledPlaces(rows, 5)) {
            const x = await partOf(input, [[row, row + 1]]);
            const found = await partOf(result, [[row, row + 1]]);
            for (const column of sampledPlaces(outputs, 9)) {
              const w = await partOf(weight, [[column, column + 1]]);
              let sum = 0;
              let magnitude = 0;
              for (const [at, value] of x.entries()) {
                const product = value * (w[at] as number);
                sum += product;
                magnitude += Math.abs(product);
              }
              const allowed = sumError(dtype, inputs, magnitude, sum);
              checkClose(found[column] as number, sum, allowed, `row ${row}, column ${column}`);
            }
          }
        },
        [Symbol.dispose]() {
          input.dispose();
          weight.dispose();
        },
      };
    },
  };
}
