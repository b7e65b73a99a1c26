import {
  type AttentionDispatcher,
  type AttentionRequest,
  UnsupportedAttentionError,
} from "@wan-ts/attention";
import type { ContextParallelDegrees, ContextParallelOptions } from "./config.ts";
import { ContextParallelError } from "./errors.ts";

/**
 * Has a model's attention give a row the same bytes whatever it is computed with: without that, ranks
 * that share out rows or heads give other last bits than one process. Returns the way back.
 *
 * @param sharedOut what of the model ranks share out, for messages.
 * @throws {ContextParallelError} `attention` where the model's backend doesn't declare it; told before
 * weights load.
 */
export function requireRowInvariance(attention: AttentionDispatcher, sharedOut: string): () => void {
  return require(attention, { rowInvariant: true }, (others) => ({
    expected: `rowInvariant where ranks share out ${sharedOut}${others}, or allowed by allowRowVariant`,
    found: "not declared so: pixels could depend on the number of ranks",
  }));
}

/**
 * Has a transformer's attention give what a split needs: in a ring the log-sum-exp, by which parts are
 * weighed; where ranks share out heads and nothing else, which promises the same bytes, row invariance.
 * Returns the way back.
 *
 * @throws {ContextParallelError} `attention` where the backend doesn't; told before weights load.
 */
export function requireAttentionOver(
  attention: AttentionDispatcher,
  { ring, ulysses }: ContextParallelDegrees,
  { allowRowVariant }: ContextParallelOptions,
): () => void {
  if (ring > 1) {
    // A ring's sums depend on the number of ranks, and so may its rows.
    return require(attention, { logSumExp: true }, (others) => ({
      expected: `one that gives the log-sum-exp${others}, or ringDegree 1`,
      found: "one that doesn't: a ring couldn't put its parts together",
    }));
  }
  return ulysses > 1 && !allowRowVariant ? requireRowInvariance(attention, "heads") : () => {};
}

function require(
  attention: AttentionDispatcher,
  more: Partial<AttentionRequest>,
  told: (others: string) => { readonly expected: string; readonly found: string },
): () => void {
  try {
    return attention.require(more);
  } catch (error) {
    if (!(error instanceof UnsupportedAttentionError)) throw error;
    const others = error.supporting.length > 0 ? ` (such as ${error.supporting.join(", ")})` : "";
    const { expected, found } = told(others);
    const subject = `attention backend ${[...error.refusals.keys()].join(", ")}`;
    throw new ContextParallelError("attention", subject, expected, found, { cause: error });
  }
}
