import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** An activation that can be fused into another operation. */
export type Activation = "none" | "silu" | "gelu" | "geluTanh" | "quickGelu";

/** The activation `kind`, elementwise; float dtypes, computed in float32. A new handle where it is "none". */
export function activate(kind: Activation, input: Tensor): Tensor {
  if (kind === "none") return input.share();
  return new Tensor(callNative(() => native.activation(kind, input.native)));
}

/** x · σ(x), elementwise; float dtypes, computed in float32. */
export function silu(input: Tensor): Tensor {
  return activate("silu", input);
}

/** x · Φ(x) by the error function, elementwise; float dtypes, computed in float32. */
export function gelu(input: Tensor): Tensor {
  return activate("gelu", input);
}

/** GELU by its tanh approximation (Hendrycks and Gimpel), elementwise; float dtypes, computed in float32. */
export function geluTanh(input: Tensor): Tensor {
  return activate("geluTanh", input);
}

/** x · σ(1.702 x), as CLIP has it, elementwise; float dtypes, computed in float32. */
export function quickGelu(input: Tensor): Tensor {
  return activate("quickGelu", input);
}
