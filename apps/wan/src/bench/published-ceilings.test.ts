import { expect, test } from "bun:test";
import { publishedCeilings } from "./published-ceilings.ts";

test("ceilings are those of the device that the driver names, and of no other", () => {
  expect(publishedCeilings("NVIDIA H100 80GB HBM3")).toEqual({
    flops: { bfloat16: 989.5e12, float32: 67e12 },
    bytesPerSecond: 3.35e12,
  });
  // Of the same chip, but slower.
  expect(publishedCeilings("NVIDIA H100 PCIe")?.bytesPerSecond).toBe(2e12);
  expect(publishedCeilings("NVIDIA H100")).toBeNull();
  expect(publishedCeilings("toString")).toBeNull();
});
