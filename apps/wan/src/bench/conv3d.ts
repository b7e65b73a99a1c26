import { conv3d } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkClose, sumError } from "./check-close.ts";
import { partOf, sampledPlaces, uniformTensor } from "./values.ts";

/** Output frames, height and width at each width of the VAE's decoder, for a video of 240 × 416. */
const shapes = [
  { channels: 384, frames: 2, height: 60, width: 104 },
  { channels: 192, frames: 4, height: 120, width: 208 },
  { channels: 96, frames: 4, height: 240, width: 416 },
] as const;

const kernel = 3;

/** The VAE's causal 3 × 3 × 3 convolutions, two past frames before those computed. */
export const conv3dFamily: BenchmarkFamily = {
  name: "conv3d",
  cases: shapes.flatMap((shape) =>
    (["bfloat16", "float32"] as const).map((dtype) => convolutionCase(shape, dtype)),
  ),
};

function convolutionCase(
  { channels, frames, height, width }: (typeof shapes)[number],
  dtype: BenchDType,
): BenchmarkCase {
  const taps = kernel ** 3;
  return {
    case: `C ${channels}, ${frames} × ${height} × ${width}`,
    dtype,
    peer: { operation: "conv3d", dtype, channels, frames, height, width },
    prepare(device) {
      const input = uniformTensor([1, frames + kernel - 1, height, width, channels], dtype, 1, { device });
      const weight = uniformTensor([channels, channels, kernel, kernel, kernel], dtype, 2, { device });
      const padding = [
        [0, 0],
        [1, 1],
        [1, 1],
      ] as const;
      return {
        flops: 2 * taps * channels * channels * frames * height * width,
        run: () => conv3d(input, weight, { padding }),
        async check(result) {
          for (const place of sampledPlaces(frames * height * width, 5)) {
            const [frame, row, column] = [
              Math.floor(place / (height * width)),
              Math.floor(place / width) % height,
              place % width,
            ];
            const found = await partOf(result, [[0, 1], single(frame), single(row), single(column)]);
            for (const output of sampledPlaces(channels, 4)) {
              const w = await partOf(weight, [single(output)]);
              let sum = 0;
              let magnitude = 0;
              for (let tap = 0; tap < taps; tap++) {
                const [t, y, x] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3];
                const [inputRow, inputColumn] = [row + y - 1, column + x - 1];
                // Outside the frame there are zeros.
                if (inputRow < 0 || inputRow >= height || inputColumn < 0 || inputColumn >= width) continue;
                const pixel = await partOf(input, [
                  [0, 1],
                  single(frame + t),
                  single(inputRow),
                  single(inputColumn),
                ]);
                for (const [channel, value] of pixel.entries()) {
                  const product = value * (w[channel * taps + tap] as number);
                  sum += product;
                  magnitude += Math.abs(product);
                }
              }
              const allowed = sumError(dtype, channels * taps, magnitude, sum);
              checkClose(
                found[output] as number,
                sum,
                allowed,
                `${frame}, ${row}, ${column}, channel ${output}`,
              );
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

function single(index: number): readonly [number, number] {
  return [index, index + 1];
}
