import type { Device } from "@wan-ts/tensor";
import type { AttentionBackend, AttentionRequest } from "../backend.ts";

/** One thing that the suite checks of a backend. */
export interface ConformanceCase {
  /** Cases about the same part of the contract. */
  readonly family: string;
  /** The case as text; as a filter it picks this case alone. */
  readonly name: string;
  /** What it asks for, on the processor: a backend that refuses is not tried. */
  readonly request: AttentionRequest;
  /** What it checks that a backend need not be: one that doesn't declare it is not tried. */
  readonly needs: "rowInvariant" | "keysInPieces" | undefined;
  /**
   * Runs the case with tensors of `device`, by default the processor's.
   *
   * @throws {ConformanceFailure} where the backend breaks its contract; what the backend throws passes.
   */
  run(backend: AttentionBackend, device?: Device): Promise<void>;
}

/** Why a backend is not tried in a case on `device` by its own declaration, or undefined where it is. */
export function declaredUnsupported(
  { request, needs }: Pick<ConformanceCase, "request" | "needs">,
  backend: AttentionBackend,
  device: Device = "cpu",
): string | undefined {
  const refusals = backend.refusals({ ...request, device });
  if (refusals.length > 0) {
    const told = refusals.map(({ property, found, supported }) => `${property} ${found} (has ${supported})`);
    return told.join(", ");
  }
  return needs && !backend[needs] ? `${needs} is not declared` : undefined;
}
