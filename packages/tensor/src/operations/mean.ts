import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/**
 * The mean of all elements of a float32 tensor → float32 []. Sums in the order of torch's CPU kernel
 * on one thread, so that the result is torch's to the last bit; NaN for no elements.
 */
export function mean(input: Tensor): Tensor {
  return new Tensor(callNative(() => native.mean(input.native)));
}
