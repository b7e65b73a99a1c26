import { dtypeSize, scope, type Tensor } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase } from "./case.ts";
import { checkClose } from "./check-close.ts";
import { linearCase } from "./linear.ts";
import { partOf, uniformRows } from "./values.ts";

/** What a device can do at most: FLOP/s of dense products by dtype, and bytes of memory a second. */
export interface CudaCeilings {
  readonly flops: Readonly<Record<BenchDType, number>>;
  readonly bytesPerSecond: number;
}

const tera = 1e12;

function ceilings(bfloat16: number, float32: number, terabytesPerSecond: number): CudaCeilings {
  return {
    flops: { bfloat16: bfloat16 * tera, float32: float32 * tera },
    bytesPerSecond: terabytesPerSecond * tera,
  };
}

/**
 * What NVIDIA publishes of a device, by the name that its driver gives it: dense bfloat16 products summed
 * in float32 on tensor cores (half of the figures "with sparsity"), float32 outside of them, as wan-ts
 * multiplies it, and memory bandwidth.
 *
 * From the data sheets "NVIDIA H200 Tensor Core GPU", "NVIDIA H100 Tensor Core GPU" and "H100 NVL",
 * "NVIDIA A100 Tensor Core GPU", "NVIDIA L40", "NVIDIA L40S" and "NVIDIA L20", and the white papers
 * "NVIDIA Ada GPU Architecture" (RTX 4090) and "NVIDIA RTX Blackwell GPU Architecture" (RTX 5090).
 */
const published: ReadonlyMap<string, CudaCeilings> = new Map([
  ["NVIDIA H200", ceilings(989.5, 67, 4.8)],
  ["NVIDIA H200 NVL", ceilings(835.5, 60, 4.8)],
  ["NVIDIA H100 80GB HBM3", ceilings(989.5, 67, 3.35)],
  ["NVIDIA H100 PCIe", ceilings(756.5, 51, 2)],
  ["NVIDIA H100 NVL", ceilings(835.5, 60, 3.9)],
  ["NVIDIA A100-SXM4-80GB", ceilings(312, 19.5, 2.039)],
  ["NVIDIA A100-SXM4-40GB", ceilings(312, 19.5, 1.555)],
  ["NVIDIA A100 80GB PCIe", ceilings(312, 19.5, 1.935)],
  ["NVIDIA A100-PCIE-40GB", ceilings(312, 19.5, 1.555)],
  ["NVIDIA L20", ceilings(119.5, 59.8, 0.864)],
  ["NVIDIA L40", ceilings(181.05, 90.5, 0.864)],
  ["NVIDIA L40S", ceilings(362.05, 91.6, 0.864)],
  ["NVIDIA GeForce RTX 4090", ceilings(165.2, 82.6, 1.008)],
  ["NVIDIA GeForce RTX 5090", ceilings(209.5, 104.8, 1.792)],
]);

/** The ceilings of a device by its driver's name for it; null where they aren't known here. */
export function publishedCeilings(name: string): CudaCeilings | null {
  return published.get(name) ?? null;
}

/** What a device does where nothing is in its way: large products, and a copy larger than its caches. */
export const cudaPeakCases: readonly BenchmarkCase[] = [
  linearCase([8192, 8192, 8192], "bfloat16"),
  linearCase([8192, 8192, 8192], "float32"),
  copyCase(16_384),
];

/** Two squares whose rows are dealt out in turn. */
function copyCase(size: number): BenchmarkCase {
  const dtype = "bfloat16";
  const bytes = 2 * size * size * dtypeSize(dtype);
  return {
    case: `copy of ${bytes / 2 ** 30} GiB, in rows of ${(size * dtypeSize(dtype)) / 2 ** 10} KiB`,
    dtype,
    prepare(device) {
      const input = scope(() => uniformRows([2 * size, size], dtype, 1, { device }).reshape([2, size, size]));
      return {
        flops: undefined,
        bytes: 2 * bytes,
        run() {
          using dealt = input.transpose(0, 1);
          return dealt.contiguous();
        },
        async check(output) {
          for (const row of [0, 1, size - 1]) {
            for (const square of [0, 1]) {
              const found = await rowOf(output, row, square);
              const expected = await rowOf(input, square, row);
              for (const [at, value] of expected.entries()) {
                checkClose(found[at] as number, value, 0, `square ${square}, row ${row}, column ${at}`);
              }
            }
          }
        },
        [Symbol.dispose]: () => input.dispose(),
      };
    },
  };
}

function rowOf(tensor: Tensor, first: number, second: number): Promise<Float32Array> {
  return partOf(tensor, [
    [first, first + 1],
    [second, second + 1],
  ]);
}
