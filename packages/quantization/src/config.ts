import type { DType } from "@wan-ts/tensor";
import type { ScaleLookup } from "./row-scales.ts";

/** The parts of a pipeline whose weights can be quantized. `transformer2` is the expert of low noise. */
export type QuantizableComponent = "textEncoder" | "transformer" | "transformer2";

/** Every part that can be quantized. */
export const quantizableComponents: readonly QuantizableComponent[] = [
  "textEncoder",
  "transformer",
  "transformer2",
];

/** What {@link nf4} and {@link int8} take. */
export interface QuantizationOptions {
  /** The parts to quantize; by default all that can be, as far as a pipeline has them. */
  readonly components?: readonly QuantizableComponent[] | undefined;
  /** Layers to leave alone, by a component of their name or by the whole name. */
  readonly skipModules?: readonly string[] | undefined;
  /** The dtype that products are computed in; by default the model's. */
  readonly computeDtype?: DType | undefined;
}

/** What {@link nf4} takes. */
export interface Nf4Options extends QuantizationOptions {
  /** Quantize the scales of blocks too: 4.13 bits a weight in place of 4.5; by default false. */
  readonly doubleQuantization?: boolean | undefined;
  /** Whose restored values to have where rows aren't whole blocks; by default those of bitsandbytes on the device. */
  readonly scaleLookup?: ScaleLookup | undefined;
}

/** Quantization of weights on load. */
export type QuantizationConfig =
  | (Nf4Options & { readonly kind: "nf4" })
  | (QuantizationOptions & { readonly kind: "int8" });

/** Linear layers' weights in 4-bit normal floats, as bitsandbytes' `load_in_4bit` with type nf4. */
export function nf4(options: Nf4Options = {}): QuantizationConfig {
  return { kind: "nf4", ...options };
}

/** Linear layers' weights in 8-bit integers, as bitsandbytes' `load_in_8bit` holds them. */
export function int8(options: QuantizationOptions = {}): QuantizationConfig {
  return { kind: "int8", ...options };
}
