import { describe, expect, test } from "bun:test";
import { type CudaDiagnosis, describeCuda, diagnoseCuda } from "./doctor-cuda.ts";

const working: CudaDiagnosis = {
  driver: { state: "works", version: "13.0", path: "/usr/lib/libcuda.so.1" },
  devices: [
    {
      device: "cuda:0",
      name: "NVIDIA H200",
      computeCapability: "9.0",
      multiprocessors: 132,
      totalBytes: 140 * 2 ** 30,
      freeBytes: 139.5 * 2 ** 30,
      kernels: "9.0",
    },
    { device: "cuda:1", name: "Tesla V100", problem: "compute capability 7.0 is below 8.0" },
    { device: "cuda:2", problem: "cuDeviceGet: CUDA_ERROR_INVALID_DEVICE" },
  ],
  libraries: [
    { name: "cuBLASLt", state: "found", version: "13.3.0", path: "/cuda/libcublasLt.so.13" },
    { name: "cuDNN", state: "missing", tried: "libcudnn.so.9: not found", howToGetIt: "pip install it" },
    { name: "NCCL", state: "broken", tried: "libnccl.so.2: truncated", howToGetIt: "pip install it" },
  ],
};

describe("describeCuda", () => {
  test("tells of the driver, of each device with memory and kernels, and of libraries", () => {
    expect(describeCuda(working)).toEqual([
      ["CUDA", "the driver supports up to 13.0 (/usr/lib/libcuda.so.1)"],
      [
        "cuda:0",
        "NVIDIA H200, compute capability 9.0, 132 multiprocessors, 139.5 of 140.0 GiB free, kernels for 9.0",
      ],
      ["cuda:1", "Tesla V100: compute capability 7.0 is below 8.0"],
      ["cuda:2", "cuDeviceGet: CUDA_ERROR_INVALID_DEVICE"],
      ["cuBLASLt", "13.3.0 (/cuda/libcublasLt.so.13)"],
      ["cuDNN", "missing, and optional: pip install it"],
      ["NCCL", "can't be used: libnccl.so.2: truncated; pip install it"],
    ]);
  });

  test("tells of nothing but the driver where there is none", () => {
    const driver = { state: "missing", message: "no NVIDIA driver; install it" } as const;
    expect(describeCuda({ ...working, driver, devices: [] })).toEqual([
      ["CUDA", "no NVIDIA driver; install it; the processor is used"],
    ]);
  });
});

test("diagnoseCuda finds each library or tells how to get it", () => {
  const { driver, libraries, devices } = diagnoseCuda();
  expect(libraries.map(({ name }) => name)).toEqual(["cuBLASLt", "cuDNN", "NCCL"]);
  for (const { state, path, howToGetIt } of libraries) {
    expect((state === "found" ? path : howToGetIt)?.length).toBeGreaterThan(0);
  }
  if (driver.state !== "works") {
    expect(devices).toEqual([]);
    expect(driver.message?.length).toBeGreaterThan(0);
  }
});
