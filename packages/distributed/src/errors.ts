const collectiveCodes = [
  "mismatch",
  "peerDied",
  "peerStopped",
  "peerFailed",
  "peerFinished",
  "deadline",
  "argument",
  "outOfSharedMemory",
  "cancelled",
  "system",
  "startUp",
  "planned",
] as const;

/** What kind of thing went wrong between ranks. */
export type CollectiveErrorCode = (typeof collectiveCodes)[number];

interface CollectiveFacts {
  readonly code: CollectiveErrorCode;
  readonly rank: number;
  readonly peer: number | null;
  readonly collective: string;
  readonly sequence: number;
  readonly secondsWaited: number;
  readonly expected: string;
  readonly found: string;
  readonly message: string;
}

const collectiveMarker = Symbol.for("wan-ts.CollectiveError");

/** Ranks that couldn't come together, or a collective that failed. */
export class CollectiveError extends Error {
  override readonly name = "CollectiveError";
  readonly code: CollectiveErrorCode;
  /** The rank that tells of it. */
  readonly rank: number;
  /** The rank at fault or disagreed with, where there is one. */
  readonly peer: number | undefined;
  /** The collective, such as `all-to-all`; "" outside of one. */
  readonly collective: string;
  /** Its number within its group, from 1; 0 outside of one. */
  readonly sequence: number;
  readonly secondsWaited: number;
  /** What was expected; for a mismatch, this rank's descriptor. */
  readonly expected: string;
  /** What was found; for a mismatch, the peer's descriptor. */
  readonly found: string;
  readonly [collectiveMarker] = true;

  constructor(facts: CollectiveFacts) {
    super(facts.message);
    this.code = facts.code;
    this.rank = facts.rank;
    this.peer = facts.peer ?? undefined;
    this.collective = facts.collective;
    this.sequence = facts.sequence;
    this.secondsWaited = facts.secondsWaited;
    this.expected = facts.expected;
    this.found = facts.found;
  }

  /** Whether `error` is a `CollectiveError`, of this copy of the package or another. */
  static isInstance(error: unknown): error is CollectiveError {
    return typeof error === "object" && error !== null && collectiveMarker in error;
  }
}

/** @internal The error whose facts the addon gives as JSON; undefined for any other text. */
export function collectiveErrorFrom(text: string): CollectiveError | undefined {
  if (!text.startsWith("{")) return undefined;
  let facts: unknown;
  try {
    facts = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isCollectiveFacts(facts) ? new CollectiveError(facts) : undefined;
}

function isCollectiveFacts(facts: unknown): facts is CollectiveFacts {
  return (
    typeof facts === "object" &&
    facts !== null &&
    "code" in facts &&
    collectiveCodes.some((code) => code === facts.code) &&
    "rank" in facts &&
    typeof facts.rank === "number" &&
    "message" in facts &&
    typeof facts.message === "string"
  );
}

/** Variables of the environment, or flags, that don't say which rank this is. */
export class RankEnvironmentError extends Error {
  override readonly name = "RankEnvironmentError";
  /**
   * `incomplete`: one of two is missing. `invalid`: no number, or out of range. `disagreement`: two
   * sources differ. `unsupported`: nothing that is known here connects the ranks.
   */
  readonly code: "incomplete" | "invalid" | "disagreement" | "unsupported";
  /** The flags or variables at fault, with their values. */
  readonly found: Readonly<Record<string, string>>;

  constructor(code: RankEnvironmentError["code"], found: Readonly<Record<string, string>>, expected: string) {
    const values = Object.entries(found).map(([name, value]) => `${name}=${value}`);
    super(`${values.join(", ")}: ${expected}`);
    this.code = code;
    this.found = found;
  }
}

/** How a rank failed a run. */
export interface RankFailure {
  readonly rank: number;
  readonly pid: number;
  /**
   * `killed` by a signal, `exited` with a status, `unfinished` (status 0 without having said that it
   * was done), `stopped` (no sign of life), `late` to a collective, or `failed` by its own word.
   */
  readonly kind: "killed" | "exited" | "unfinished" | "stopped" | "late" | "failed";
  readonly signal: string | undefined;
  readonly exitCode: number | undefined;
  /** Where it was: "at step 3, block 7, all-to-all #281". */
  readonly whereabouts: string;
  /** For how long it had given no sign of life, where it was stopped. */
  readonly silentSeconds: number | undefined;
  /** What it said of its failure, or "". */
  readonly reason: string;
  /** The end of what it wrote to its standard error, where the launcher read that. */
  readonly errorOutput: string;
}

/** A run whose ranks didn't all succeed. The message is one line that names the rank at fault. */
export class LaunchError extends Error {
  override readonly name = "LaunchError";
  readonly failure: RankFailure;

  constructor(failure: RankFailure) {
    super(describeFailure(failure));
    this.failure = failure;
  }
}

function describeFailure(failure: RankFailure): string {
  const who = `rank ${failure.rank} (pid ${failure.pid})`;
  switch (failure.kind) {
    case "killed":
      return `${who} was killed (${failure.signal}) ${failure.whereabouts}`;
    case "exited":
      return `${who} exited with status ${failure.exitCode} ${failure.whereabouts}${lastLine(failure)}`;
    case "unfinished":
      return `${who} ended without having done its work ${failure.whereabouts}`;
    case "stopped":
      return `${who} has given no sign of life for ${failure.silentSeconds?.toFixed(1)} s, ${failure.whereabouts}`;
    case "late":
      return `${who} did not come to a collective in time, and is ${failure.whereabouts}`;
    case "failed":
      return `${who} failed ${failure.whereabouts}: ${failure.reason}`;
  }
}

function lastLine(failure: RankFailure): string {
  const line = failure.errorOutput.trimEnd().split("\n").at(-1);
  return line ? `: ${line}` : "";
}
