import { type Device, Tensor } from "@wan-ts/tensor";
import type { AttentionSetup, MaskKind } from "./attention-setup.ts";

/** The number that many programs write for −∞. It must hide nothing where a row holds nothing else. */
export const lowestNumber = -(2 - 2 ** -23) * 2 ** 127;

/**
 * The mask of a setup, float32, as it is handed to the backend, on `device`.
 *
 * @param normal draws a standard normal number.
 */
export function buildMask(
  kind: MaskKind,
  setup: AttentionSetup,
  normal: () => number,
  device: Device,
): Tensor {
  const { batch, heads, queries, keys } = setup;
  const hidden = Number.NEGATIVE_INFINITY;
  const make = (shape: readonly [number, number, number, number], at: ValueAt): Tensor =>
    Tensor.from(fill(shape, at), shape, "float32", device);
  switch (kind) {
    case "causal":
      return make([1, 1, queries, keys], (_b, _h, query, key) => (key > query ? hidden : 0));
    case "keyPadding":
      // The later the batch, the fewer keys; the first has all.
      return make([batch, 1, 1, keys], (b, _h, _query, key) => (key > 0 && key >= keys - 5 * b ? hidden : 0));
    case "bias":
      return make([batch, heads, queries, keys], normal);
    case "biasOfHead":
      return make([1, heads, 1, keys], normal);
    case "twoDimensional": {
      const whole = make([1, 1, queries, keys], (_b, _h, _query, key) => (key % 3 === 1 ? hidden : normal()));
      return whole.reshape([queries, keys]);
    }
    case "hiddenRows":
      return make([1, 1, queries, keys], (_b, _h, query, key) =>
        query % 3 === 0 || key % 4 === 2 ? hidden : normal(),
      );
    case "hiddenHead":
      return make([1, heads, 1, 1], (_b, head) => (head === 0 ? hidden : 0));
    case "lowestNumber":
      return make([1, 1, queries, keys], (_b, _h, query, key) =>
        query % 3 === 0 || key > query ? lowestNumber : 0,
      );
    case "sliced": {
      const larger = make([1, heads + 1, queries + 2, keys + 3], normal);
      return larger.slice(1, 1).slice(2, 1, -1).slice(3, 2, -1);
    }
  }
}

type ValueAt = (batch: number, head: number, query: number, key: number) => number;

function fill(shape: readonly [number, number, number, number], at: ValueAt): Float32Array {
  const values = new Float32Array(shape[0] * shape[1] * shape[2] * shape[3]);
  let index = 0;
  for (let b = 0; b < shape[0]; b++) {
    for (let h = 0; h < shape[1]; h++) {
      for (let i = 0; i < shape[2]; i++) {
        for (let j = 0; j < shape[3]; j++) values[index++] = at(b, h, i, j);
      }
    }
  }
  return values;
}
