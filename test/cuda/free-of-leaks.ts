import { afterEach, expect } from "bun:test";
import { memory, synchronize } from "@wan-ts/tensor";

/** Has every test of a file end with no tensor left, on any device. */
export function expectNothingLeft(): void {
  afterEach(async () => {
    await synchronize();
    const { liveStorages, liveDeviceBytes } = memory();
    expect({ liveStorages, liveDeviceBytes }).toEqual({ liveStorages: 0, liveDeviceBytes: 0 });
  });
}
