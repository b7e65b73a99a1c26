import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/**
 * Rows of `table` (V, C) by `indices` (…), int32 or int64 → (…, C).
 *
 * An index outside the table fails the operation: reading its result rejects with the index.
 */
export function embedding(table: Tensor, indices: Tensor): Tensor {
  return new Tensor(callNative(() => native.embedding(table.native, indices.native)));
}
