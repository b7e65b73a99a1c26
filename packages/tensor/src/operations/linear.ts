import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";
import type { Activation } from "./activation.ts";

/** What may follow the product in {@link linear}. */
export interface LinearOptions {
  /** (N). */
  readonly bias?: Tensor | undefined;
  /** Applied to the sum, rounded first to the dtype as separate operations would. */
  readonly activation?: Activation;
}

/**
 * input (…, K) · weightᵀ, weight (N, K) as torch's `nn.Linear` stores it → (…, N). Equal float
 * dtypes; sums are float32, rounded once. A row of the result has the same bytes whatever the
 * number of rows and threads.
 */
export function linear(input: Tensor, weight: Tensor, options: LinearOptions = {}): Tensor {
  return new Tensor(
    callNative(() =>
      native.linear(input.native, weight.native, options.bias?.native, options.activation ?? "none"),
    ),
  );
}
