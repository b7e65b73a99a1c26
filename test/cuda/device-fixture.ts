import { AttentionDispatcher } from "@wan-ts/attention";
import type { TensorSource } from "@wan-ts/nn";
import type { Device, DType, Tensor } from "@wan-ts/tensor";
import { defaultAttentionRegistry } from "@wan-ts/wan";
import { readFixture } from "../../packages/models/src/testing/read-fixture.ts";

/** A fixture of `packages/models` whose tensors are on a device. */
export interface DeviceFixture {
  readonly config: unknown;
  has(name: string): boolean;
  tensor(name: string): Tensor;
  checkpoint(): TensorSource;
}

/** Reads `packages/models/fixtures/<name>.safetensors`. */
export function deviceFixture(name: string, device: Device): DeviceFixture {
  const fixture = readFixture(name);
  return {
    config: fixture.config,
    has: (tensor) => fixture.has(tensor),
    tensor: (tensor) => moved(fixture.tensor(tensor), device),
    checkpoint: () => {
      const source = fixture.checkpoint();
      return { ...source, tensor: (key) => moved(source.tensor(key), device) };
    },
  };
}

/** A dispatcher over wan-ts's own backends, of which the device's own is chosen. */
export function deviceAttention(device: Device, dtype: DType): AttentionDispatcher {
  const request = { device, dtype, headDim: 16, mask: true, logSumExp: false };
  return new AttentionDispatcher(defaultAttentionRegistry(), [request]);
}

function moved(here: Tensor, device: Device): Tensor {
  using _ = here;
  return here.toDevice(device);
}
