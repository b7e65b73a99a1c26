import type { AttentionBackend, AttentionRefusal, AttentionRequest } from "./backend.ts";

/**
 * Every reason why a backend can't serve all of `requests`: its own, and a row invariance that it
 * doesn't declare.
 */
export function refusalsOf(
  backend: AttentionBackend,
  requests: readonly AttentionRequest[],
): readonly AttentionRefusal[] {
  const own = requests.flatMap((request) => backend.refusals(request));
  const isVariant = !backend.rowInvariant && requests.some(({ rowInvariant }) => rowInvariant);
  return isVariant ? [...own, { property: "rowInvariant", found: "true", supported: "not declared" }] : own;
}
