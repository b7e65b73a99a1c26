import { expect, test } from "bun:test";
import type { QuantizedWeight } from "@wan-ts/nn";
import { Nf4Weight, nf4, quantizationOnLoad } from "@wan-ts/quantization";
import { scope, Tensor } from "@wan-ts/tensor";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { testDevice } from "./test-device.ts";

const device = testDevice();
expectNothingLeft();

/** Rows that aren't whole blocks. */
const shape = [32, 80];
const values = Float32Array.from({ length: 32 * 80 }, (_, index) => Math.sin(index + 1));

function restored(quantize: () => QuantizedWeight | undefined): Float32Array {
  return scope(() => {
    using weight = quantize()!;
    return weight.dequantize().floatsBlocking();
  });
}

function onLoad(weightDevice: typeof device, computeDevice?: typeof device): Float32Array {
  const weight = (): Tensor => Tensor.from(values, shape, "float32", weightDevice);
  return restored(() => quantizationOnLoad(nf4(), computeDevice).quantize("layer.weight", weight()));
}

test(`4-bit weights are restored on ${device} by the scales of their own blocks`, () => {
  const exact = restored(() => Nf4Weight.quantize(Tensor.from(values, shape), { doubleQuantization: false }));
  expect(onLoad(device)).toEqual(exact);
  expect(onLoad("cpu", device)).toEqual(exact);
  // As bitsandbytes on a CPU has it.
  expect(onLoad("cpu")).not.toEqual(exact);
});
