import type { Tensor } from "@wan-ts/tensor";
import type { AttentionCall, AttentionResult } from "../backend.ts";
import { ConformanceFailure } from "./conformance-failure.ts";

/** @throws {ConformanceFailure} unless shapes, dtypes, device and strides are as the contract says. */
export function expectResultForm(name: string, call: AttentionCall, result: AttentionResult): void {
  const { query } = call;
  expectForm(name, "output", result.output, query.dtype, query.shape, query);
  if (call.returnLogSumExp) {
    expectForm(name, "logSumExp", result.logSumExp, "float32", query.shape.slice(0, 3), query);
    if (result.logSumExpResidue) {
      const shape = query.shape.slice(0, 3);
      expectForm(name, "logSumExpResidue", result.logSumExpResidue, "float32", shape, query);
    }
    return;
  }
  for (const what of ["logSumExp", "logSumExpResidue"] as const) {
    const tensor = result[what];
    if (!tensor) continue;
    const expected = "absent, as no log-sum-exp is asked for";
    throw new ConformanceFailure(name, { what, expected, found: tensor.toString() });
  }
}

function expectForm(
  name: string,
  what: string,
  tensor: Tensor | undefined,
  dtype: string,
  shape: readonly number[],
  { device }: Tensor,
): void {
  const right =
    tensor?.dtype === dtype &&
    tensor.device === device &&
    tensor.shape.length === shape.length &&
    tensor.shape.every((size, dim) => size === shape[dim]);
  if (!right) {
    const expected = `${dtype} [${shape.join(", ")}] on ${device}`;
    throw new ConformanceFailure(name, { what, expected, found: tensor?.toString() ?? "absent" });
  }
  if (!tensor.isContiguous) {
    throw new ConformanceFailure(name, {
      what,
      expected: "contiguous",
      found: `of strides [${tensor.strides.join(", ")}] for shape [${shape.join(", ")}]`,
    });
  }
}
