import { isTensorErrorCode, TensorError } from "@wan-ts/tensor";

/** Calls into the addon, turning refused arguments into {@link TensorError}s. */
export function callOperation<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw (error instanceof Error && tensorErrorFrom(error.message)) || error;
  }
}

function tensorErrorFrom(text: string): TensorError | undefined {
  if (!text.startsWith("{")) return undefined;
  const facts = JSON.parse(text) as ConstructorParameters<typeof TensorError>[0];
  return isTensorErrorCode(facts.code) && "operation" in facts ? new TensorError(facts) : undefined;
}
