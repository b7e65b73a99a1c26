import * as native from "@wan-ts/binding";
import { type CollectiveError, collectiveErrorFrom, RankEnvironmentError } from "./errors.ts";
import { ProcessGroup } from "./process-group.ts";
import { sharedFileVariable } from "./rank-environment.ts";
import { resolveRank } from "./resolve-rank.ts";

/** Deadlines in seconds, and sizes; see the defaults. */
export interface JoinOptions {
  /** The environment that says which rank this is; by default the process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A rank that is silent for longer has stopped (6). */
  readonly stoppedAfter?: number;
  /** How long to wait at a collective for a rank that lives and is busy (600). */
  readonly deadline?: number;
  /** How long to wait at the start for all ranks (60). */
  readonly startDeadline?: number;
  /** Bytes of a staging window, a multiple of 4096 (1 MiB). */
  readonly windowBytes?: number;
}

/** This process as a rank of a run. */
export interface Ranks {
  readonly rank: number;
  readonly size: number;
  readonly localRank: number;
  /** The group of all ranks. */
  readonly world: ProcessGroup;
  /**
   * Publishes where this rank is, such as "step 3, block 7", for messages about it, once everything
   * submitted before has run.
   */
  readonly note: (position: string) => void;
  /** Reports that this rank has done its whole work. A process that ends without it has failed. */
  readonly finish: () => void;
  /** Reports a failure, so that the others' collectives fail with `reason`. */
  readonly fail: (reason: string) => void;
  /** The first failure of any collective of this process. */
  readonly failure: () => CollectiveError | undefined;
}

/**
 * Joins the run that {@link launchRanks} started this process for, and waits, blocking, until all
 * ranks are there. Undefined in a process that nobody started as a rank. Call it once.
 *
 * @throws {RankEnvironmentError} where the environment contradicts itself.
 * @throws {CollectiveError} `startUp` where ranks are missing or doubled, `peerDied` where one ended.
 */
export function joinRanks(options: JoinOptions = {}): Ranks | undefined {
  const env = options.env ?? process.env;
  const descriptor = env[sharedFileVariable];
  if (descriptor === undefined) return undefined;
  const place = resolveRank(env);
  if (place === undefined || !/^\d{1,6}$/.test(descriptor)) {
    const expected = "the launcher sets it together with RANK and WORLD_SIZE, to a file descriptor";
    throw new RankEnvironmentError("invalid", { [sharedFileVariable]: descriptor }, expected);
  }
  const settings = {
    stoppedAfterSeconds: options.stoppedAfter,
    deadlineSeconds: options.deadline,
    startDeadlineSeconds: options.startDeadline,
    windowBytes: options.windowBytes,
  };
  const { rank, worldSize, localRank } = place;
  const ranks = callTransport(() =>
    native.NativeRanks.join(Number(descriptor), rank, worldSize, withoutUndefined(settings)),
  );
  return {
    rank,
    size: worldSize,
    localRank,
    world: new ProcessGroup(ranks.world()),
    note: (position) => ranks.note(position),
    finish: () => ranks.finish(),
    fail: (reason) => ranks.fail(reason),
    failure: () => {
      const facts = ranks.failure();
      return facts == null ? undefined : collectiveErrorFrom(facts);
    },
  };
}

/** Calls into the addon, turning its errors about ranks into {@link CollectiveError}s. */
function callTransport<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw (error instanceof Error && collectiveErrorFrom(error.message)) || error;
  }
}

function withoutUndefined(
  settings: Record<string, number | undefined>,
): Partial<Record<keyof native.NativeRankSettings, number>> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
