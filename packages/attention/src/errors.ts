import type { AttentionRefusal } from "./backend.ts";
import { nearestName } from "./nearest-name.ts";

/** A backend name that is not registered. */
export class UnknownBackendError extends Error {
  override readonly name = "UnknownBackendError";
  readonly code = "unknownAttentionBackend";
  readonly backend: string;
  readonly known: readonly string[];
  /** The registered name that was most likely meant. */
  readonly nearest: string | undefined;

  constructor(backend: string, known: readonly string[]) {
    const names = known.length > 0 ? known.join(", ") : "none";
    const nearest = nearestName(backend, known);
    const question = nearest === undefined ? "" : `; did you mean "${nearest}"?`;
    super(`there is no attention backend "${backend}"; registered: ${names}${question}`);
    this.backend = backend;
    this.known = known;
    this.nearest = nearest;
  }
}

/** A backend name registered twice. */
export class DuplicateBackendError extends Error {
  override readonly name = "DuplicateBackendError";
  readonly code = "duplicateAttentionBackend";
  readonly backend: string;

  constructor(backend: string) {
    super(`an attention backend "${backend}" is registered already`);
    this.backend = backend;
  }
}

/**
 * A request that no backend, or not the one asked for, can serve: every reason of each, and which
 * registered backends can.
 */
export class UnsupportedAttentionError extends Error {
  override readonly name = "UnsupportedAttentionError";
  readonly code = "unsupportedAttention";
  readonly refusals: ReadonlyMap<string, readonly AttentionRefusal[]>;
  /** The registered backends that can, in order of preference. */
  readonly supporting: readonly string[];

  constructor(
    refusals: ReadonlyMap<string, readonly AttentionRefusal[]>,
    supporting: readonly string[] = [],
  ) {
    const told = [...refusals].map(([backend, reasons]) => {
      const facts = reasons.map(
        ({ property, found, supported }) => `${property} ${found} (supported: ${supported})`,
      );
      return `${backend}: ${facts.join(", ")}`;
    });
    const others = supporting.length > 0 ? `; it is by ${supporting.join(", ")}` : "";
    super(`attention is not supported by ${told.join("; ")}${others}`);
    this.refusals = refusals;
    this.supporting = supporting;
  }
}
