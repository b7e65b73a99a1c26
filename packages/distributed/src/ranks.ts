import * as native from "@wan-ts/binding";
import { type Device, TensorError } from "@wan-ts/tensor";
import { callOperation } from "./call-operation.ts";
import { collectivesVariable, connectDevices, type DeviceCollectives } from "./device-collectives.ts";
import { type CollectiveError, collectiveErrorFrom, RankEnvironmentError } from "./errors.ts";
import { type RankLedgerEntry, rankLedger } from "./ledger.ts";
import { mpiLauncherOf, mpiLibraryVariable, refuseUnknownSize, requireMpiLauncher } from "./mpi-launcher.ts";
import { ProcessGroup } from "./process-group.ts";
import { sharedFileVariable } from "./rank-environment.ts";
import { resolveRank, slurmStep } from "./resolve-rank.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Deadlines in seconds, and sizes; see the defaults. */
export interface JoinOptions {
  /** The environment that says which rank this is; by default the process's. */
  readonly env?: Environment;
  /** A rank that is silent for longer has stopped (6). */
  readonly stoppedAfter?: number;
  /** How long to wait at a collective for a rank that lives and is busy (600). */
  readonly deadline?: number;
  /** How long to wait at the start for all ranks (60). */
  readonly startDeadline?: number;
  /** Bytes of a staging window of shared memory, a multiple of 4096 (1 MiB). */
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
  /**
   * Reports that this rank has done its whole work. A process that ends without it has failed. Under
   * MPI, where no launcher knows what ranks report, it blocks until all have.
   *
   * @throws {CollectiveError} under MPI, where another rank fails or doesn't come to its end.
   */
  readonly finish: () => void;
  /** Reports a failure, so that the others' collectives fail with `reason`. */
  readonly fail: (reason: string) => void;
  /** The first failure of any collective of this process. */
  readonly failure: () => CollectiveError | undefined;
  /**
   * Runs `body`, synchronous, with the outputs of the operations submitted in it in memory that the
   * other ranks of the machine read directly: collectives on them copy once, from there to where they
   * belong. For what is about to be sent. Also for results of large collectives: blocks of this memory
   * are used again, where others come from the system and are touched for the first time. Just runs
   * `body` where ranks share no memory. A tensor's memory is free again with its last handle; where there is no room left, the operation fails, and reading
   * its result throws a `TensorError` of code `outOfMemory` that names the room and its setting.
   */
  readonly inSharedMemory: <T>(body: () => T) => T;
  /**
   * Finds out how the ranks' CUDA devices exchange, and connects them: collectives on tensors of `device`
   * go from device to device by NCCL where every rank has a device for itself and the same NCCL, else
   * through the memory of the machines. All ranks call it, each with its device, before they split groups:
   * those that were split before don't go by NCCL. It waits, blocking, for the stream and for the other
   * ranks. Called again with the same device it tells what it told. Nothing on the processor, for planned
   * ranks, and for a rank that is alone.
   *
   * `WAN_CUDA_COLLECTIVES` of the environment, `nccl` or `staged`, asks for either.
   *
   * @throws {TensorError} where the device can't be opened, `argument` for another device than before.
   * @throws {CollectiveError} `startUp` where the environment asks for what can't be, ranks are asked for
   * different things, or NCCL fails.
   */
  readonly connectDevice: (device: Device) => DeviceCollectives | undefined;
  /** How devices exchange, once they are connected. */
  readonly deviceCollectives: () => DeviceCollectives | undefined;
  /**
   * What all groups that were made of these ranks have completed so far, by group and kind, in the
   * order in which groups were made. Groups of one label count together.
   */
  readonly ledger: () => readonly RankLedgerEntry[];
}

/**
 * Joins the run that this process was started for, and waits, blocking, until all ranks are there:
 * one of {@link launchRanks}, over memory that the ranks share, or one of `mpirun` or `srun`, over
 * their MPI library. Undefined in a process that nobody started as a rank, and in a step of Slurm of one
 * task. Call it once.
 *
 * @throws {RankEnvironmentError} where the environment contradicts itself, or nothing connects ranks.
 * @throws {CollectiveError} `startUp` where ranks are missing or doubled, there is no MPI library for
 * the launcher, or the library sees another run; `peerDied` where a rank ended.
 */
export function joinRanks(options: JoinOptions = {}): Ranks | undefined {
  const env = options.env ?? process.env;
  const settings = withoutUndefined({
    stoppedAfterSeconds: options.stoppedAfter,
    deadlineSeconds: options.deadline,
    startDeadlineSeconds: options.startDeadline,
    windowBytes: options.windowBytes,
  });
  const descriptor = env[sharedFileVariable];
  return descriptor === undefined ? joinByMpi(env, settings) : joinLauncher(descriptor, env, settings);
}

/** The launcher's own variables alone count: what started the launcher speaks of that one's place. */
function joinLauncher(descriptor: string, env: Environment, settings: native.NativeRankSettings): Ranks {
  const { RANK, WORLD_SIZE, LOCAL_RANK } = env;
  const place = resolveRank({ RANK, WORLD_SIZE, LOCAL_RANK });
  if (place === undefined || !/^\d{1,6}$/.test(descriptor)) {
    const expected = "the launcher sets it together with RANK and WORLD_SIZE, to a file descriptor";
    throw new RankEnvironmentError("invalid", { [sharedFileVariable]: descriptor }, expected);
  }
  const { rank, worldSize } = place;
  const ranks = callOperation(() => native.NativeRanks.join(Number(descriptor), rank, worldSize, settings));
  return ranksOf(ranks, place, env);
}

function joinByMpi(env: Environment, settings: native.NativeRankSettings): Ranks | undefined {
  refuseUnknownSize(env);
  const place = resolveRank(env);
  if (place === undefined) return undefined;
  // A step of one task is how Slurm starts any program.
  const alone = mpiLauncherOf(env) === undefined || env[slurmStep] !== undefined;
  if (place.worldSize === 1 && alone) return undefined;
  const launcher = requireMpiLauncher(env, place);
  const { rank, worldSize } = place;
  const ranks = callOperation(() =>
    native.NativeRanks.joinMpi(launcher, env[mpiLibraryVariable], rank, worldSize, settings),
  );
  return ranksOf(ranks, place, env);
}

/**
 * One rank of a run that there isn't: for a tensor `Rehearsal`, in which its collectives check their
 * arguments, return tensors without values, and are counted in the ledger as a real run counts them.
 * Groups split without communication. Outside of a rehearsal collectives throw.
 *
 * @throws {CollectiveError} `argument` unless 0 ≤ rank < worldSize; from collectives outside of a
 * rehearsal, `planned`.
 */
export function plannedRanks(place: { readonly rank: number; readonly worldSize: number }): Ranks {
  const { rank, worldSize } = place;
  const ranks = callOperation(() => native.NativeRanks.planned(rank, worldSize));
  return ranksOf(ranks, { rank, worldSize, localRank: rank });
}

function ranksOf(
  ranks: native.NativeRanks,
  place: { readonly rank: number; readonly worldSize: number; readonly localRank: number },
  env?: Environment,
): Ranks {
  const groups: ProcessGroup[] = [];
  const world = ranks.world();
  let connected: { readonly device: Device; readonly collectives: DeviceCollectives } | undefined;
  return {
    rank: place.rank,
    size: place.worldSize,
    localRank: place.localRank,
    world: new ProcessGroup(world, groups),
    note: (position) => ranks.note(position),
    finish: () => callOperation(() => ranks.finish()),
    fail: (reason) => ranks.fail(reason),
    failure: () => {
      const facts = ranks.failure();
      return facts == null ? undefined : collectiveErrorFrom(facts);
    },
    inSharedMemory: (body) => {
      ranks.enterSharedMemory();
      try {
        const result = body();
        if (!(result instanceof Promise)) return result;
      } finally {
        ranks.leaveSharedMemory();
      }
      const found = "a function that returns a promise";
      throw TensorError.argument("inSharedMemory", "body", "synchronous", found);
    },
    // Planned ranks have no environment, and nobody to ask.
    connectDevice: (device) => {
      if (device === "cpu" || place.worldSize === 1 || env === undefined) return undefined;
      if (connected && connected.device !== device) {
        throw TensorError.argument("connectDevice", "device", `${connected.device}, as before`, device);
      }
      connected ??= { device, collectives: connectDevices(world, device, env[collectivesVariable]) };
      return connected.collectives;
    },
    deviceCollectives: () => connected?.collectives,
    ledger: () => rankLedger(groups),
  };
}

function withoutUndefined(
  settings: Record<string, number | undefined>,
): Partial<Record<keyof native.NativeRankSettings, number>> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}
