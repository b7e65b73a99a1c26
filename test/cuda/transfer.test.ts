import { describe, expect, test } from "bun:test";
import {
  add,
  allFinite,
  embedding,
  linear,
  memory,
  openDevice,
  scope,
  synchronizeBlocking,
  Tensor,
  TensorError,
} from "@wan-ts/tensor";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { testDevice } from "./test-device.ts";

const device = testDevice();
expectNothingLeft();

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (TensorError.isInstance(error)) return error.code;
    throw error;
  }
  return "none";
}

describe(`tensors on ${device}`, () => {
  test("the device tells of itself", () => {
    const { name, computeCapability, totalBytes, freeBytes, kernels } = openDevice(device);
    expect(name).not.toBe("");
    expect(computeCapability).toMatch(/^\d+\.\d+$/);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
    expect(kernels).toMatch(/^(\d+\.\d+|ptx)$/);
  });

  test("come back as they went, bit for bit", () => {
    const bits = Uint32Array.from([0, 0x8000_0000, 1, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001, 0x3f80_0001, 7]);
    using there = Tensor.from(new Float32Array(bits.buffer), [2, 4], "float32", device);
    expect(there.device).toBe(device);
    using back = there.toDevice("cpu");
    expect(back.device).toBe("cpu");
    expect(new Uint32Array((back.dataBlocking() as Float32Array).slice().buffer)).toEqual(bits);
  });

  test("of a view come row-major", () => {
    scope(() => {
      const here = Tensor.from(
        Float32Array.from({ length: 24 }, (_, at) => at),
        [2, 3, 4],
      );
      const turned = (whole: Tensor): Tensor => whole.permute([2, 0, 1]).slice(0, 1, 3);
      const expected = turned(here).floatsBlocking();
      expect(turned(here.toDevice(device)).floatsBlocking()).toEqual(expected);
      expect(turned(here).toDevice(device).floatsBlocking()).toEqual(expected);
    });
  });

  test("are the same handle's storage where they are there already", () => {
    using there = Tensor.full([3], 2.5, "float32", device);
    const before = memory().liveStorages;
    using same = there.toDevice(device);
    expect(memory().liveStorages).toBe(before);
    expect([...same.floatsBlocking()]).toEqual([2.5, 2.5, 2.5]);
  });

  test("are refused beside those of another device", () => {
    scope(() => {
      const here = Tensor.full([4, 4], 1);
      const there = here.toDevice(device);
      expect(codeOf(() => add(here, there))).toBe("device");
      expect(codeOf(() => linear(there, here))).toBe("device");
      expect(codeOf(() => here.toDevice("cuda:63"))).toBe("device");
    });
  });

  test("tell what isn't finite, and an index outside of a table", async () => {
    using finite = Tensor.full([1000], 1, "bfloat16", device);
    expect(await allFinite(finite)).toBe(true);
    using spoiled = Tensor.from(Float32Array.of(1, Number.NaN, 2), [3], "float32", device);
    expect(await allFinite(spoiled)).toBe(false);
    using table = Tensor.full([5, 2], 1, "float32", device);
    using indices = Tensor.from(Int32Array.of(4, 5), [2], "int32", device);
    using rows = embedding(table, indices);
    expect(() => rows.floatsBlocking()).toThrow("5");
  });

  test("are counted, and freed with their last handle", () => {
    synchronizeBlocking();
    const before = memory().liveDeviceBytes;
    const tensor = Tensor.zeros([1 << 20], "float32", device);
    const view = tensor.slice(0, 0, 1);
    synchronizeBlocking();
    expect(memory().liveDeviceBytes - before).toBe(4 << 20);
    tensor.dispose();
    synchronizeBlocking();
    expect(memory().liveDeviceBytes - before).toBe(4 << 20);
    view.dispose();
    synchronizeBlocking();
    expect(memory().liveDeviceBytes).toBe(before);
  });
});
