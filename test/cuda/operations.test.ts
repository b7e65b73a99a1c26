import { describe, expect, test } from "bun:test";
import { type Device, type DType, scope, Tensor } from "@wan-ts/tensor";
import { relativeDistance } from "@wan-ts/test/fixture-cases.ts";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { type Inputs, type OperationCase, operationCases } from "./operation-cases.ts";
import { testDevice } from "./test-device.ts";
import { operationTolerance } from "./tolerances.ts";

const device = testDevice();
expectNothingLeft();

/** Inputs on `where`; the first of a shape differs from the second. */
function inputsOn(where: Device, dtype: DType): Inputs {
  let seed = 0;
  const numbers = (shape: readonly number[]): Float32Array => {
    let state = ++seed * 2_654_435_761;
    const count = shape.reduce((product, size) => product * size, 1);
    return Float32Array.from({ length: count }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 31 - 1;
    });
  };
  return {
    of: (...shape) => Tensor.from(numbers(shape), shape, dtype, where),
    float32: (...shape) => Tensor.from(numbers(shape), shape, "float32", where),
    indices: (end, ...shape) => {
      const values = numbers(shape).map((value) => Math.floor(((value + 1) / 2) * end));
      return Tensor.from(Int32Array.from(values), shape, "int32", where);
    },
  };
}

/** What a case gives on a device. */
function answers({ compute }: OperationCase, where: Device, dtype: DType) {
  const found: { device: Device; dtype: DType; shape: readonly number[]; values: Float32Array }[] = [];
  scope(() => {
    for (const output of compute(inputsOn(where, dtype), dtype)) {
      const { device: place, dtype: type, shape } = output;
      found.push({ device: place, dtype: type, shape, values: output.floatsBlocking() });
    }
  });
  return found;
}

describe.each(["float32", "bfloat16", "float16"] as const)(`operations on ${device} in %s`, (dtype) => {
  for (const one of operationCases) {
    test(one.name, () => {
      const expected = answers(one, "cpu", dtype);
      const found = answers(one, device, dtype);
      expect(found).toHaveLength(expected.length);
      for (const [output, { values, ...form }] of expected.entries()) {
        const { values: own, ...ownForm } = found[output]!;
        expect(ownForm).toEqual({ ...form, device });
        // Of what is float32 too something may have been 16 bits on the way.
        const limit = Math.max(operationTolerance[form.dtype] ?? 0, operationTolerance[dtype] ?? 0);
        const distance = relativeDistance(own, values);
        expect(distance, `output ${output}`).toBeLessThanOrEqual(limit);
      }
    });
  }
});
