import {
  channelNorm,
  type Device,
  dtypeSize,
  gatedResidual,
  layerNorm,
  rmsNormRotary,
  Tensor,
} from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkClose, unitRoundoff } from "./check-close.ts";
import { sampledPlaces, uniformRows, uniformValues } from "./values.ts";
import { tokenCount, videos } from "./video-sizes.ts";

const headDim = 128;
const epsilon = 1e-6;

/** Tokens, and the width that they have. */
interface FusedSizes {
  readonly tokens: number;
  readonly features: number;
}
const small: FusedSizes = { tokens: 4096, features: 1536 };
/** 14B's; more than a device's caches hold. */
const large: FusedSizes = { tokens: tokenCount(videos.at480p81), features: 5120 };

/** A fused operation over rows: what it does to one row, said plainly in float64. */
interface FusedOperation {
  readonly name: string;
  /** Sizes before the last dimension, and the last. */
  readonly rows: readonly number[];
  readonly width: number;
  readonly inputs: number;
  run(inputs: readonly Tensor[], settings: readonly Tensor[]): Tensor;
  /** Values beside the inputs, float32 where the operation takes no other. */
  settings(dtype: BenchDType, device: Device): Tensor[];
  expectedRow(inputs: readonly Float32Array[], settings: readonly Float32Array[], row: number): number[];
}

function tokenOperations({ tokens, features }: FusedSizes): FusedOperation[] {
  const heads = features / headDim;
  return [
    {
      name: "layer norm, scale and shift",
      rows: [1, tokens],
      width: features,
      inputs: 1,
      settings: (_, device) => [setting([1, 1, features], 1, device), setting([1, 1, features], 2, device)],
      run: ([input], [scale, shift]) => layerNorm(input as Tensor, { epsilon, scale, shift }),
      expectedRow([x = empty], [scale = empty, shift = empty]) {
        const mean = average(x, (value) => value);
        const variance = average(x, (value) => (value - mean) ** 2);
        return Array.from(
          x,
          (value, at) =>
            ((value - mean) / Math.sqrt(variance + epsilon)) * (1 + (scale[at] as number)) +
            (shift[at] as number),
        );
      },
    },
    {
      name: "RMS norm and rotary embedding",
      rows: [1, tokens],
      width: features,
      inputs: 1,
      settings: (_, device) => {
        const angles = uniformValues((tokens * headDim) / 2, 3);
        return [
          setting([features], 1, device),
          Tensor.from(angles.map(Math.cos), [1, tokens, headDim / 2], "float32", device),
          Tensor.from(angles.map(Math.sin), [1, tokens, headDim / 2], "float32", device),
        ];
      },
      run: ([input], [weight, cos, sin]) =>
        rmsNormRotary(input as Tensor, {
          weight: weight as Tensor,
          cos: cos as Tensor,
          sin: sin as Tensor,
          heads,
          epsilon,
        }),
      expectedRow([x = empty], [weight = empty, cos = empty, sin = empty], row) {
        const norm = Math.sqrt(average(x, (value) => value ** 2) + epsilon);
        const normed = Array.from(x, (value, at) => (value / norm) * (weight[at] as number));
        return normed.map((value, at) => {
          const angle = (row * headDim) / 2 + Math.floor((at % headDim) / 2);
          const [c, s] = [cos[angle] as number, sin[angle] as number];
          return at % 2 === 0
            ? value * c - (normed[at + 1] as number) * s
            : (normed[at - 1] as number) * s + value * c;
        });
      },
    },
    {
      name: "gate and residual",
      rows: [1, tokens],
      width: features,
      inputs: 2,
      settings: (_, device) => [setting([1, 1, features], 1, device)],
      run: ([residual, update], [gate]) =>
        gatedResidual(residual as Tensor, update as Tensor, gate as Tensor),
      expectedRow: ([residual = empty, update = empty], [gate = empty]) =>
        Array.from(residual, (value, at) => value + (update[at] as number) * (gate[at] as number)),
    },
  ];
}

function channelOperation(rows: readonly number[]): FusedOperation {
  return {
    name: "channel norm and SiLU",
    rows,
    width: 96,
    inputs: 1,
    settings: (dtype, device) => [setting([96], 1, device, dtype)],
    run: ([input], [weight]) =>
      channelNorm(input as Tensor, { weight: weight as Tensor, activation: "silu" }),
    expectedRow([x = empty], [weight = empty]) {
      const norm = Math.sqrt(average(x, (value) => value ** 2));
      return Array.from(x, (value, at) => {
        const normed = (value / norm) * (weight[at] as number);
        return normed / (1 + Math.exp(-normed));
      });
    },
  };
}

/** The memory-bound chains that are one operation each, at Wan-1.3B's sizes and 14B's. */
export const fusedFamily: BenchmarkFamily = {
  name: "fused",
  cases: [...tokenOperations(small), channelOperation([1, 4, 240, 416])].flatMap((operation) =>
    (["bfloat16", "float32"] as const).map((dtype) => fusedCase(operation, dtype)),
  ),
  cudaCases: [...tokenOperations(large), channelOperation([1, 4, 480, 832])].map((operation) =>
    fusedCase(operation, "bfloat16"),
  ),
};

function fusedCase(operation: FusedOperation, dtype: BenchDType): BenchmarkCase {
  const shape = [...operation.rows, operation.width];
  return {
    case: `${operation.name}, ${shape.slice(1).join(" × ")}`,
    dtype,
    prepare(device) {
      const inputs = Array.from({ length: operation.inputs }, (_, seed) =>
        uniformRows(shape, dtype, 10 + seed, { device }),
      );
      const settings = operation.settings(dtype, device);
      const bytesOf = ({ count, dtype: type }: Tensor): number => count * dtypeSize(type);
      const read = [...inputs, ...settings].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
      return {
        flops: undefined,
        bytes: read + bytesOf(inputs[0] as Tensor),
        run: () => operation.run(inputs, settings),
        async check(output) {
          const settingValues = await Promise.all(settings.map((tensor) => tensor.floats()));
          const count = operation.rows.reduce((product, size) => product * size, 1);
          for (const row of sampledPlaces(count, 16)) {
            const rowOf = async (tensor: Tensor): Promise<Float32Array> => {
              using flat = tensor.reshape([count, operation.width]);
              using one = flat.slice(0, row, row + 1);
              return await one.floats();
            };
            const values = await Promise.all(inputs.map(rowOf));
            const found = await rowOf(output);
            for (const [at, expected] of operation.expectedRow(values, settingValues, row).entries()) {
              // A few roundings of values of the order of 1, on the way and at the end.
              const allowed = 4 * unitRoundoff(dtype) * Math.max(4, Math.abs(expected));
              checkClose(found[at] as number, expected, allowed, `row ${row}, column ${at}`);
            }
          }
        },
        [Symbol.dispose]() {
          for (const tensor of [...inputs, ...settings]) tensor.dispose();
        },
      };
    },
  };
}

const empty = new Float32Array();

/** Values from 0 to 2. */
function setting(
  shape: readonly number[],
  seed: number,
  device: Device,
  dtype: BenchDType = "float32",
): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(
    uniformValues(count, seed).map((value) => value + 1),
    shape,
    dtype,
    device,
  );
}

function average(values: Float32Array, of: (value: number) => number): number {
  let sum = 0;
  for (const value of values) sum += of(value);
  return sum / values.length;
}
