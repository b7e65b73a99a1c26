import { dtypeSize, scope, type Tensor } from "@wan-ts/tensor";
import type { BenchmarkCase } from "./case.ts";
import { checkClose } from "./check-close.ts";
import { linearCase } from "./linear.ts";
import { partOf, uniformRows } from "./values.ts";

/** Rows of a product for each multiprocessor: enough tiles for several rounds over all of them. */
const rowsPerMultiprocessor = 64;

/**
 * What a device does where nothing is in its way: large products, and a copy larger than its caches; as
 * large as its number of multiprocessors asks for.
 */
export function cudaPeakCases(multiprocessors: number): readonly BenchmarkCase[] {
  const size = 2 ** Math.floor(Math.log2(Math.max(2, multiprocessors) * rowsPerMultiprocessor));
  return [
    linearCase([size, size, size], "bfloat16"),
    linearCase([size, size, size], "float32"),
    copyCase(2 * size),
  ];
}

/** Two squares whose rows are dealt out in turn. */
function copyCase(size: number): BenchmarkCase {
  const dtype = "bfloat16";
  const bytes = 2 * size * size * dtypeSize(dtype);
  return {
    case: `copy of ${bytes / 2 ** 20} MiB, in rows of ${(size * dtypeSize(dtype)) / 2 ** 10} KiB`,
    dtype,
    peer: { operation: "copy", dtype, elements: 2 * size * size },
    prepare(device) {
      const input = scope(() => uniformRows([2 * size, size], dtype, 1, { device }).reshape([2, size, size]));
      return {
        flops: undefined,
        bytes: 2 * bytes,
        run() {
          using dealt = input.transpose(0, 1);
          return dealt.contiguous();
        },
        async check(output) {
          for (const row of [0, 1, size - 1]) {
            for (const square of [0, 1]) {
              const found = await rowOf(output, row, square);
              const expected = await rowOf(input, square, row);
              for (const [at, value] of expected.entries()) {
                checkClose(found[at] as number, value, 0, `square ${square}, row ${row}, column ${at}`);
              }
            }
          }
        },
        [Symbol.dispose]: () => input.dispose(),
      };
    },
  };
}

function rowOf(tensor: Tensor, first: number, second: number): Promise<Float32Array> {
  return partOf(tensor, [
    [first, first + 1],
    [second, second + 1],
  ]);
}
