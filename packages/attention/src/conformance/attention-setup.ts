import type { AttentionRequest } from "../backend.ts";

/** The dtypes that the suite tries. */
export const testedDTypes = ["float32", "bfloat16", "float16"] as const;

/** One of {@link testedDTypes}. */
export type TestedDType = (typeof testedDTypes)[number];

/** A mask of the suite; `buildMask` says what each holds. */
export type MaskKind =
  | "causal"
  | "keyPadding"
  | "bias"
  | "biasOfHead"
  | "twoDimensional"
  | "hiddenRows"
  | "hiddenHead"
  | "lowestNumber"
  | "sliced";

/** How query, key and value lie in memory; `buildInputs` says what each means. */
export type InputLayout =
  | "contiguous"
  | "fusedProjections"
  | "headsFirst"
  | "slicedSequence"
  | "slicedHeads"
  | "slicedChannels"
  | "sharedByBatches"
  | "sharedByHeads";

/** Which tensor gets a value that isn't finite, and which. */
export type NonFinite = `${"NaN" | "+inf" | "-inf"} in ${"query" | "key" | "value" | "mask"}`;

/** One attention, as data: sizes, dtype, and what is out of the ordinary. */
export interface AttentionSetup {
  readonly dtype: TestedDType;
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headDim: number;
  /** Standard deviation of query and key; by default 1. With 0 all scores of a row are equal. */
  readonly spread?: number;
  /** Mean of query and key; by default 0. */
  readonly offset?: number;
  /** Given to the backend; by default none, which stands for 1/√headDim. */
  readonly scale?: number;
  readonly mask?: MaskKind;
  readonly layout?: InputLayout;
  readonly nonFinite?: NonFinite;
  readonly logSumExp?: boolean;
}

/** What a setup asks of a backend. */
export function requestOf(setup: AttentionSetup): AttentionRequest {
  return {
    device: "cpu",
    dtype: setup.dtype,
    headDim: setup.headDim,
    mask: setup.mask !== undefined,
    logSumExp: setup.logSumExp ?? false,
  };
}

/** The setup as text, such as `lengths(dtype=float32, batch=1, …)`. */
export function nameOf(family: string, setup: AttentionSetup): string {
  const settings = Object.entries(setup).map(([key, value]) => `${key}=${value}`);
  return `${family}(${settings.join(", ")})`;
}
