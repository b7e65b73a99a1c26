import type { AttentionBackend, AttentionRefusal, AttentionRequest } from "./backend.ts";

/** What a backend can do where it declares so. */
const declared = ["rowInvariant", "keysInPieces"] as const;

/** Every reason why a backend can't serve all of `requests`: its own, and what it doesn't declare. */
export function refusalsOf(
  backend: AttentionBackend,
  requests: readonly AttentionRequest[],
): readonly AttentionRefusal[] {
  const own = requests.flatMap((request) => backend.refusals(request));
  const missing = declared
    .filter((property) => !backend[property] && requests.some((request) => request[property]))
    .map((property) => ({ property, found: "true", supported: "not declared" }));
  return [...own, ...missing];
}
