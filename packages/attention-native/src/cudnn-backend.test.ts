import { describe, expect, test } from "bun:test";
import type { AttentionRequest } from "@wan-ts/attention";
import { Tensor, TensorError } from "@wan-ts/tensor";
import { CudnnAttentionBackend } from "./cudnn-backend.ts";

const request: AttentionRequest = {
  device: "cuda:0",
  dtype: "bfloat16",
  headDim: 128,
  mask: false,
  logSumExp: true,
};

/** What a backend refuses, beside the version that it found or the reason why there is none. */
function refused(changed: Partial<AttentionRequest>, findVersion: () => string = () => "9.26.0") {
  const refusals = new CudnnAttentionBackend(findVersion).refusals({ ...request, ...changed });
  return refusals.map(({ property, found, supported }) => [property, found, supported]);
}

function absent(): string {
  throw new TensorError({
    code: "device",
    operation: "cudnnVersion",
    argument: "",
    expected: "",
    found: "no cuDNN: libcudnn.so.9 is version 9.10.2",
    message: "cudnnVersion: no cuDNN",
  });
}

describe("cuDNN's backend", () => {
  test("takes what cuDNN has", () => {
    for (const headDim of [8, 48, 64, 120, 128]) {
      for (const dtype of ["bfloat16", "float16"] as const) expect(refused({ dtype, headDim })).toEqual([]);
    }
    expect(refused({ logSumExp: false })).toEqual([]);
  });

  test("refuses everything else, every reason at once", () => {
    expect(refused({ dtype: "float32", headDim: 12, mask: true })).toEqual([
      ["dtype", "float32", "bfloat16, float16"],
      ["headDim", "12", "multiples of 8 up to 128"],
      ["mask", "true", "none"],
    ]);
    for (const headDim of [0, 4, 136, 256]) {
      expect(refused({ headDim })).toEqual([["headDim", `${headDim}`, "multiples of 8 up to 128"]]);
    }
  });

  test("refuses a device without cuDNN, with what was tried", () => {
    expect(refused({}, absent)).toEqual([
      [
        "device",
        "cuda:0 without cuDNN: no cuDNN: libcudnn.so.9 is version 9.10.2",
        "cuda:N with cuDNN 9.13.1 or above",
      ],
    ]);
  });

  test("looks for cuDNN once, and not for the processor's sake", () => {
    let looked = 0;
    const backend = new CudnnAttentionBackend(() => {
      looked++;
      return "9.26.0";
    });
    expect(backend.refusals({ ...request, device: "cpu" })).toHaveLength(1);
    expect(looked).toBe(0);
    for (let round = 0; round < 3; round++) expect(backend.refusals(request)).toEqual([]);
    expect(looked).toBe(1);
  });

  test("hides no fault of its own behind a missing library", () => {
    const broken = (): string => {
      throw new RangeError("a fault");
    };
    expect(() => refused({}, broken)).toThrow(RangeError);
  });

  test("promises nothing of a row among others", () => {
    const backend = new CudnnAttentionBackend();
    expect("rowInvariant" in backend || "keysInPieces" in backend).toBe(false);
  });

  test("refuses a mask, and tensors of the processor, where it is called", () => {
    using tensor = Tensor.full([1, 2, 1, 8], 1, "bfloat16");
    using mask = Tensor.full([1, 1, 2, 2], 0);
    const call = { query: tensor, key: tensor, value: tensor };
    const backend = new CudnnAttentionBackend();
    expect(() => backend.attend({ ...call, mask })).toThrow("cudnnAttention: mask must be none, but is one");
    expect(() => backend.attend(call)).toThrow("query must be on a CUDA device, but is on cpu");
  });
});
