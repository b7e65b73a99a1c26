import { describe, expect, test } from "bun:test";
import { memory, scope, synchronizeBlocking, Tensor, TensorError } from "@wan-ts/tensor";
import { ReferenceAttentionBackend } from "./reference-backend.ts";

const backend = new ReferenceAttentionBackend();
const zeros = (...shape: number[]): Tensor => Tensor.zeros(shape);

function refusal(call: () => Parameters<typeof backend.attend>[0]): unknown {
  try {
    scope(() => backend.attend(call()));
  } catch (error) {
    return error;
  }
  throw new Error("the call was not refused");
}

describe("the reference backend refuses", () => {
  const query = () => zeros(2, 3, 4, 8);
  const key = () => zeros(2, 5, 4, 8);

  test.each([
    ["query", "shape", () => ({ query: zeros(2, 3, 8), key: key(), value: key() })],
    ["query", "dtype", () => ({ query: Tensor.zeros([2, 3, 4, 8], "int32"), key: key(), value: key() })],
    ["key", "shape", () => ({ query: query(), key: zeros(2, 5, 4, 7), value: zeros(2, 5, 4, 7) })],
    ["key", "shape", () => ({ query: query(), key: zeros(2, 5, 32), value: key() })],
    ["key", "dtype", () => ({ query: query(), key: key().to("bfloat16"), value: key() })],
    ["value", "shape", () => ({ query: query(), key: key(), value: zeros(2, 6, 4, 8) })],
    ["value", "dtype", () => ({ query: query(), key: key(), value: key().to("float16") })],
    ["mask", "shape", () => ({ query: query(), key: key(), value: key(), mask: zeros(2, 4, 5, 3) })],
    ["mask", "shape", () => ({ query: query(), key: key(), value: key(), mask: zeros(1, 1, 1, 1, 5) })],
    ["mask", "dtype", () => ({ query: query(), key: key(), value: key(), mask: zeros(3, 5).to("float16") })],
  ])("a %s of the wrong %s", (argument, code, call) => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    const error = refusal(call);
    synchronizeBlocking();
    expect(TensorError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ operation: "attention", argument, code });
    expect(memory().liveStorages).toBe(before);
  });

  test("a device, dtype and head size it hasn't, all at once", () => {
    const request = { device: "cpu", dtype: "int64", headDim: 0, mask: true, logSumExp: true } as const;
    expect(backend.refusals(request).map((one) => one.property)).toEqual(["dtype", "headDim"]);
    expect(backend.refusals({ ...request, dtype: "float16", headDim: 999 })).toEqual([]);
  });

  test("nothing of an attention without keys: rows are zero, their log-sum-exp −∞", () => {
    const found = scope(() => {
      const { output, logSumExp } = backend.attend({
        query: Tensor.full([1, 2, 1, 3], 1),
        key: zeros(1, 0, 1, 3),
        value: zeros(1, 0, 1, 3),
        returnLogSumExp: true,
      });
      return [output.floatsBlocking(), logSumExp?.floatsBlocking()];
    });
    expect(found[0]).toEqual(new Float32Array(6));
    expect(found[1]).toEqual(new Float32Array(2).fill(Number.NEGATIVE_INFINITY));
  });
});
