import type { StateProblem, StoredWeight, TensorSource } from "@wan-ts/nn";
import { type DType, scope } from "@wan-ts/tensor";
import { Int8Weight } from "./int8-weight.ts";

/** The one layout of codes that bitsandbytes still writes: rows, one after the other. */
const rowMajor = 0;

/**
 * The weight `name` of `shape` (N, K) in bitsandbytes' 8-bit form: int8 codes under `name` itself,
 * beside it the scales `SCB` of its rows and `weight_format`. Undefined where it is stored plain.
 * Products are computed in `computeDtype`, by default the model's dtype.
 */
export function findStoredInt8(
  name: string,
  shape: readonly number[],
  source: TensorSource,
  computeDtype: DType | undefined,
): StoredWeight | undefined {
  const codes = source.entry(name);
  const layer = name.slice(0, name.lastIndexOf(".") + 1);
  const [scalesName, formatName] = [`${layer}SCB`, `${layer}weight_format`];
  const scales = source.entry(scalesName);
  if (!codes || (codes.dtype !== "int8" && !scales)) return undefined;

  const problems: StateProblem[] = [];
  const rows = shape.slice(0, 1);
  if (codes.dtype !== "int8") {
    problems.push({ kind: "dtype", name, expected: "int8", found: codes.dtype });
  }
  if (!same(codes.shape, shape)) {
    problems.push({ kind: "shape", name, expected: shape, found: codes.shape });
  }
  if (!scales) problems.push({ kind: "missing", name: scalesName, expected: rows });
  else if (scales.dtype !== "float32") {
    problems.push({ kind: "dtype", name: scalesName, expected: "float32", found: scales.dtype });
  } else if (!same(scales.shape, rows)) {
    problems.push({ kind: "shape", name: scalesName, expected: rows, found: scales.shape });
  }
  const format = readFormat(formatName, source);
  if (format !== undefined && format !== rowMajor) {
    problems.push({
      kind: "value",
      name: formatName,
      expected: `${rowMajor}, row-major`,
      found: `${format}`,
    });
  }
  return {
    names: [name, scalesName, formatName],
    problems,
    load: (dtype) =>
      scope(
        () =>
          new Int8Weight({
            codes: source.tensor(name),
            absmax: source.tensor(scalesName),
            dtype: computeDtype ?? dtype,
          }),
      ),
  };
}

function readFormat(name: string, source: TensorSource): number | undefined {
  return source.entry(name) && source.bytes(name)[0];
}

function same(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, dim) => size === right[dim]);
}
