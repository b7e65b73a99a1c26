import type { BenchDType } from "./case.ts";

/** What a device can do at most: FLOP/s of dense products by dtype, and bytes of memory a second. */
export interface PublishedCeilings {
  readonly flops: Readonly<Record<BenchDType, number>>;
  readonly bytesPerSecond: number;
}

const tera = 1e12;

function ceilings(bfloat16: number, float32: number, terabytesPerSecond: number): PublishedCeilings {
  return {
    flops: { bfloat16: bfloat16 * tera, float32: float32 * tera },
    bytesPerSecond: terabytesPerSecond * tera,
  };
}

/**
 * What NVIDIA publishes of a device, by the name that its driver gives it: dense bfloat16 products summed
 * in float32 on tensor cores (half of the figures "with sparsity"), float32 outside of them, as wan-ts
 * multiplies it, and memory bandwidth. Devices whose figures were found nowhere but in lists of others
 * aren't here; the ceilings that a run measures itself need none of this.
 */
const published: ReadonlyMap<string, PublishedCeilings> = new Map([
  // The data sheets of H200 (1,979 with sparsity, 67; 4.8 TB/s) and H100 (1,979 and 1,513 with sparsity,
  // 67 and 51; 3,350 and 2,000 GB/s), the latter as archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html
  // has it.
  ["NVIDIA H200", ceilings(989.5, 67, 4.8)],
  ["NVIDIA H100 80GB HBM3", ceilings(989.5, 67, 3.35)],
  ["NVIDIA H100 PCIe", ceilings(756.5, 51, 2)],
  // The data sheet of A100, as glennklockwood.com/garden/processors/A100 has it; bandwidths of the four
  // as thundercompute.com/blog/nvidia-a100-specs-full-guide has them.
  ["NVIDIA A100-SXM4-80GB", ceilings(312, 19.5, 2.039)],
  ["NVIDIA A100-SXM4-40GB", ceilings(312, 19.5, 1.555)],
  ["NVIDIA A100 80GB PCIe", ceilings(312, 19.5, 1.935)],
  ["NVIDIA A100-PCIE-40GB", ceilings(312, 19.5, 1.555)],
  // The data sheets of L40 and L40S: 181.05 | 362.1 and 362.05 | 733 with sparsity, 90.5 and 91.6; 864 GB/s.
  ["NVIDIA L40", ceilings(181.05, 90.5, 0.864)],
  ["NVIDIA L40S", ceilings(362.05, 91.6, 0.864)],
  // The white papers of Ada and RTX Blackwell. GeForce cards sum in float32 at half the speed of float16
  // sums: of RTX 5090's 838 with sparsity a quarter.
  ["NVIDIA GeForce RTX 4090", ceilings(165.2, 82.6, 1.008)],
  ["NVIDIA GeForce RTX 5090", ceilings(209.5, 104.8, 1.792)],
]);

/** The ceilings of a device by its driver's name for it; null where they aren't known here. */
export function publishedCeilings(name: string): PublishedCeilings | null {
  return published.get(name) ?? null;
}
