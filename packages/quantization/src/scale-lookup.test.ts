import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { WeightSource } from "@wan-ts/hub";
import type { QuantizedWeight } from "@wan-ts/nn";
import { type Device, memory, Rehearsal, synchronizeBlocking } from "@wan-ts/tensor";
import { nf4 } from "./config.ts";
import { Nf4Weight } from "./nf4-weight.ts";
import type { ScaleLookup } from "./row-scales.ts";
import { openFixture } from "./testing/fixture.ts";
import { quantizationOnLoad, storedQuantization } from "./weight-quantization.ts";

/** A weight whose rows aren't whole blocks. */
const name = "narrow";

let fixture: WeightSource;
beforeAll(async () => {
  fixture = await openFixture();
});
afterAll(() => fixture.close());
afterEach(() => {
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

function quantized(device?: Device, scaleLookup?: ScaleLookup): QuantizedWeight {
  using weight = fixture.tensor(`${name}/weight`);
  return quantizationOnLoad(nf4({ scaleLookup }), device).quantize("layer.weight", weight)!;
}

function stored(device?: Device, scaleLookup?: ScaleLookup): QuantizedWeight {
  using weight = fixture.tensor(`${name}/weight`);
  const config = { kind: "nf4", doubleQuantization: false, computeDtype: undefined, scaleLookup } as const;
  return storedQuantization(config, device)
    .stored(`${name}/nf4.weight`, weight.shape, fixture)!
    .load(weight.dtype);
}

async function expectRestored(weight: QuantizedWeight, lookup: ScaleLookup): Promise<void> {
  const suffix = lookup === "exact" ? "" : "-avx512";
  using wanted = fixture.tensor(`${name}/nf4.dequantized${suffix}`);
  using restored = weight.dequantize();
  expect(Buffer.from(await restored.rawBytes()).equals(Buffer.from(await wanted.rawBytes()))).toBe(true);
}

describe.each([
  ["quantized on load", quantized],
  ["stored quantized", stored],
])("rows that aren't whole blocks, %s", (_, load) => {
  test.each([
    [undefined, undefined, "avx512"],
    ["cpu", undefined, "avx512"],
    ["cuda:0", undefined, "exact"],
    ["cuda:1", "avx512", "avx512"],
    ["cpu", "exact", "exact"],
  ] as const)("restored on %s, asked for %s: %s", async (device, asked, lookup) => {
    const weight = load(device, asked);
    await expectRestored(weight, lookup);
    weight[Symbol.dispose]();
  });
});

test("a weight that is quantized on a device is restored exactly, unless other is said", () => {
  using _rehearsal = new Rehearsal();
  using here = fixture.tensor(`${name}/weight`);
  using there = here.toDevice("cuda:0");
  const bytes = (weight: QuantizedWeight | undefined): number => {
    using held = weight as Nf4Weight;
    return held.bytes;
  };
  using exact = Nf4Weight.quantize(there, { doubleQuantization: false });
  // Indices of scales take memory of their own.
  expect(bytes(quantizationOnLoad(nf4()).quantize("w", there))).toBe(exact.bytes);
  expect(bytes(quantizationOnLoad(nf4()).quantize("w", here))).toBeGreaterThan(exact.bytes);
});
