import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { WeightSource } from "@wan-ts/hub";
import {
  type DType,
  dequantizeNf4,
  mean,
  memory,
  scope,
  synchronizeBlocking,
  type Tensor,
} from "@wan-ts/tensor";
import { dynamicTable } from "./dynamic-table.ts";
import { Int8Weight } from "./int8-weight.ts";
import { type NestedScales, Nf4Weight } from "./nf4-weight.ts";
import { openFixture } from "./testing/fixture.ts";
import { storedQuantization } from "./weight-quantization.ts";

const cases = ["float32", "bfloat16", "float16", "narrow", "odd", "partial", "zeros", "nested"];
const single = cases.filter((name) => name !== "nested");
const floats: readonly DType[] = ["float32", "bfloat16", "float16"];

let fixture: WeightSource;
beforeAll(async () => {
  fixture = await openFixture();
});
afterAll(() => fixture.close());

/** Equal dtypes, numbers of elements, and bytes. */
async function expectSame(found: Tensor, name: string): Promise<void> {
  using wanted = fixture.tensor(name);
  expect([name, found.dtype, found.count]).toEqual([name, wanted.dtype, wanted.count]);
  expect(Buffer.from(await found.rawBytes()).equals(Buffer.from(await wanted.rawBytes()))).toBe(true);
}

describe("4-bit normal floats, with the bytes of bitsandbytes", () => {
  test.each(single)("%s: codes, scales and restored values", async (name) => {
    using weight = fixture.tensor(`${name}/weight`);
    using quantized = Nf4Weight.quantize(weight, { doubleQuantization: false });
    using restored = quantized.dequantize();
    await expectSame(quantized.parts.packed, `${name}/nf4.weight`);
    await expectSame(quantized.parts.scales as Tensor, `${name}/nf4.weight.absmax`);
    await expectSame(restored, `${name}/nf4.dequantized`);
  });

  test.each(cases)("%s: codes of scales too", async (name) => {
    using weight = fixture.tensor(`${name}/weight`);
    using quantized = Nf4Weight.quantize(weight, { doubleQuantization: true });
    using restored = quantized.dequantize();
    const scales = quantized.parts.scales as NestedScales;
    await expectSame(quantized.parts.packed, `${name}/nf4-double.weight`);
    await expectSame(scales.codes, `${name}/nf4-double.weight.absmax`);
    await expectSame(scales.absmax, `${name}/nf4-double.weight.nested_absmax`);
    await expectSame(scales.table, `${name}/nf4-double.weight.nested_quant_map`);
    await expectSame(restored, `${name}/nf4-double.dequantized`);
  });

  test.each(floats)("restored as %s are rounded once", async (dtype) => {
    using packed = fixture.tensor("odd/nf4.weight");
    using absmax = fixture.tensor("odd/nf4.weight.absmax");
    using restored = dequantizeNf4({ packed, absmax }, { shape: [5, 7], blockSize: 64, dtype });
    await expectSame(restored, `odd/nf4.dequantized-${dtype}`);
  });

  test.each(
    cases.flatMap((name) =>
      name === "nested"
        ? [[name, "nf4-double"]]
        : [
            [name, "nf4"],
            [name, "nf4-double"],
          ],
    ),
  )("%s stored as %s are read in place and restored", async (name, kind) => {
    const stored = storedQuantization({
      kind: "nf4",
      doubleQuantization: true,
      computeDtype: undefined,
      scaleLookup: "exact",
    });
    const shape = fixture.entry(`${name}/weight`)?.shape ?? [];
    const found = stored.stored(`${name}/${kind}.weight`, shape, fixture);
    expect(found?.problems).toEqual([]);
    using weight = found!.load("float32");
    using restored = weight.dequantize();
    using original = fixture.tensor(`${name}/${kind}.dequantized`);
    using widened = original.to("float32");
    expect(await restored.floats()).toEqual(await widened.floats());
  });
});

test.each(
  ["narrow", "float16"].flatMap((name) => [
    [name, "nf4"],
    [name, "nf4-double"],
  ]),
)("%s as %s: rows that aren't whole blocks restored as a CPU with AVX-512 does", async (name, kind) => {
  using weight = fixture.tensor(`${name}/weight`);
  const doubleQuantization = kind === "nf4-double";
  using quantized = Nf4Weight.quantize(weight, { doubleQuantization, scaleLookup: "avx512" });
  using restored = quantized.dequantize();
  await expectSame(restored, `${name}/${kind}.dequantized-avx512`);
});

test("rows of whole blocks are restored the same either way, with nothing held for it", () => {
  using weight = fixture.tensor("float32/weight");
  using exact = Nf4Weight.quantize(weight, { doubleQuantization: false });
  using cpu = Nf4Weight.quantize(weight, { doubleQuantization: false, scaleLookup: "avx512" });
  using left = exact.dequantize();
  using right = cpu.dequantize();
  expect(left.floatsBlocking()).toEqual(right.floatsBlocking());
  expect(cpu.bytes).toBe(exact.bytes);
});

test.each(single)("%s: 8-bit integers have the bytes of bitsandbytes", async (name) => {
  using weight = fixture.tensor(`${name}/weight`);
  using quantized = Int8Weight.quantize(weight, "float32");
  using restored = quantized.dequantize();
  await expectSame(quantized.parts.codes, `${name}/int8.weight`);
  await expectSame(quantized.parts.absmax, `${name}/int8.SCB`);
  await expectSame(restored, `${name}/int8.dequantized`);
});

test.each([1, 7, 8, 31, 99, 1024, 4999])("the mean of %d numbers is torch's", async (count) => {
  using values = fixture.tensor(`mean/${count}/values`);
  using result = mean(values);
  await expectSame(result, `mean/${count}/mean`);
});

test("the dynamic table ascends from its least to 1", async () => {
  using table = dynamicTable();
  const values = [...(await table.floats())];
  expect(values).toEqual(values.toSorted((left, right) => left - right));
  expect([values.length, new Set(values).size, values.at(-1)]).toEqual([256, 256, 1]);
});

test("quantizing keeps codes and scales, and nothing of the weight", () => {
  synchronizeBlocking();
  const before = memory();
  const quantized = scope(() => {
    const weight = fixture.tensor("nested/weight").to("float32");
    return Nf4Weight.quantize(weight, { doubleQuantization: true });
  });
  synchronizeBlocking();
  expect(memory().liveBytes - before.liveBytes).toBe(quantized.bytes);
  // Two codes a byte, a code and a share of a scale for each 64, and the table of 256.
  const count = 65 * 256;
  expect(quantized.bytes).toBe(count / 2 + count / 64 + 2 * 4 + 256 * 4 + 4);
  quantized[Symbol.dispose]();
  synchronizeBlocking();
  expect(memory()).toMatchObject({ liveBytes: before.liveBytes, liveStorages: before.liveStorages });
});
