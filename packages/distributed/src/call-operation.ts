import { isTensorErrorCode, TensorError } from "@wan-ts/tensor";
import { type CollectiveError, collectiveErrorFrom } from "./errors.ts";

/**
 * Calls into the addon, turning refused arguments into {@link TensorError}s and errors about ranks into
 * {@link CollectiveError}s.
 */
export function callOperation<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw (error instanceof Error && typedErrorFrom(error.message)) || error;
  }
}

function typedErrorFrom(text: string): TensorError | CollectiveError | undefined {
  return tensorErrorFrom(text) ?? collectiveErrorFrom(text);
}

function tensorErrorFrom(text: string): TensorError | undefined {
  if (!text.startsWith("{")) return undefined;
  const facts = JSON.parse(text) as ConstructorParameters<typeof TensorError>[0];
  return isTensorErrorCode(facts.code) && "operation" in facts ? new TensorError(facts) : undefined;
}
