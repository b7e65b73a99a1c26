import {
  type ContextParallelDegrees,
  ContextParallelError,
  type ContextParallelOptions,
  chooseDegrees,
  DeviceMesh,
  type MeshCoordinates,
  shares,
} from "@wan-ts/context-parallel";
import { plannedRanks, type RankLedgerEntry } from "@wan-ts/distributed";
import type { WanCheckpoint } from "../checkpoint.ts";
import type { Machine } from "./machine.ts";
import type { RunOptions } from "./rehearse-run.ts";
import { planRun, type RunPlan } from "./run-plan.ts";

/** What a rank of a run would do. */
export interface RankPlan {
  readonly rank: number;
  readonly coordinates: MeshCoordinates;
  /** Tokens that it has between attentions. */
  readonly tokens: number;
  /** Heads that it attends with. */
  readonly heads: number;
  /** Collectives of the whole run, by group and kind: what its ledger will say. */
  readonly collectives: readonly RankLedgerEntry[];
  /** Payload bytes that it sends and receives, whichever is more. */
  readonly exchangedBytes: number;
  readonly plan: RunPlan;
}

/** A run over ranks. */
export interface RanksPlan {
  readonly degrees: ContextParallelDegrees;
  readonly ranks: readonly RankPlan[];
  /** Collectives of a block in each forward pass, with the bytes that rank 0 sends in each. */
  readonly perBlock: readonly {
    readonly collective: string;
    readonly count: number;
    readonly bytes: number;
  }[];
  /** Of the slowest rank: computing, then exchanging. Where the machine's speed is known. */
  readonly seconds: number | undefined;
  /** The time of one rank by the number of ranks, as a share of `seconds`. */
  readonly efficiency: number | undefined;
}

/** Where ranks are planned. */
export interface RanksSetting {
  readonly worldSize: number;
  /** Bytes a second that a rank sends and receives at the same time. */
  readonly bandwidth: number;
}

/** Groups that exchange within a block. */
const groupsOfBlocks = new Set(["ulysses", "ring"]);

/**
 * Plans a run over ranks as {@link planRun} plans one: each rank's own code is gone through without values,
 * so its collectives are counted where they are called.
 *
 * @param machine what each rank has for itself.
 * @param alone the same run on one rank, to compare with.
 * @throws {ContextParallelError} where the ranks can't be laid out so; what `planRun` throws.
 */
export async function planRanks(
  checkpoint: WanCheckpoint,
  run: RunOptions,
  machine: Machine,
  { worldSize, bandwidth }: RanksSetting,
  options: ContextParallelOptions,
  alone: RunPlan,
): Promise<RanksPlan> {
  const heads = checkpoint.transformer.numAttentionHeads;
  const degrees = chooseDegrees(options, { worldSize, heads, guided: alone.sizes.guidanceScale > 1 });
  const mesh = new DeviceMesh(degrees);
  const parallel = {
    ulyssesDegree: degrees.ulysses,
    ringDegree: degrees.ring,
    cfgParallel: degrees.cfg === 2,
    allowRowVariant: options.allowRowVariant,
  };
  const tokens = shares(alone.tokens, degrees.ring * degrees.ulysses);
  if (tokens.at(-1) === 0) {
    const expected = `at least ${tokens.length}, one for each rank that shares them`;
    throw new ContextParallelError("tokens", "the number of tokens", expected, `${alone.tokens}`);
  }
  const ranks: RankPlan[] = [];
  for (let rank = 0; rank < worldSize; rank++) {
    const planned = plannedRanks({ rank, worldSize });
    const plan = await planRun(
      checkpoint,
      { ...run, load: { ...run.load, ranks: planned, parallel } },
      machine,
    );
    // Groups are made before the run.
    const collectives = planned.ledger().filter(({ collective }) => collective !== "split");
    const total = (key: "bytesSent" | "bytesReceived"): number =>
      collectives.reduce((sum, entry) => sum + entry[key], 0);
    const coordinates = mesh.coordinatesOf(rank);
    ranks.push({
      rank,
      coordinates,
      tokens: tokens[coordinates.ring * degrees.ulysses + coordinates.ulysses]!,
      heads: shares(heads, degrees.ulysses)[coordinates.ulysses]!,
      collectives,
      exchangedBytes: Math.max(total("bytesSent"), total("bytesReceived")),
      plan,
    });
  }
  const secondsOf = ({ plan, exchangedBytes }: RankPlan): number =>
    (plan.seconds ?? Number.NaN) + exchangedBytes / bandwidth;
  const seconds = machine.speed && Math.max(...ranks.map(secondsOf));
  return {
    degrees,
    ranks,
    perBlock: perBlock(checkpoint, ranks[0]!, degrees),
    seconds,
    efficiency:
      seconds === undefined || alone.seconds === undefined
        ? undefined
        : alone.seconds / (worldSize * seconds),
  };
}

function perBlock(
  checkpoint: WanCheckpoint,
  { collectives, plan }: RankPlan,
  { cfg }: ContextParallelDegrees,
): RanksPlan["perBlock"] {
  const passes = plan.sizes.steps * (plan.sizes.guidanceScale > 1 && cfg === 1 ? 2 : 1);
  const calls = passes * checkpoint.transformer.numLayers;
  return collectives
    .filter(({ group }) => groupsOfBlocks.has(group))
    .map(({ collective, count, bytesSent }) => ({
      collective,
      count: Math.floor(count / calls),
      bytes: count === 0 ? 0 : bytesSent / count,
    }))
    .filter(({ count }) => count > 0);
}

/** The other ways to lay out as many ranks, each of which {@link planRanks} takes. */
export function alternatives(
  { degrees: chosen, ranks }: RanksPlan,
  { heads, guided }: { readonly heads: number; readonly guided: boolean },
): ContextParallelOptions[] {
  const found: ContextParallelOptions[] = [];
  for (const cfg of guided && ranks.length % 2 === 0 ? [1, 2] : [1]) {
    const left = ranks.length / cfg;
    for (let ulyssesDegree = left; ulyssesDegree >= 1; ulyssesDegree--) {
      if (left % ulyssesDegree !== 0 || ulyssesDegree > heads) continue;
      const ringDegree = left / ulyssesDegree;
      if (cfg === chosen.cfg && ulyssesDegree === chosen.ulysses && ringDegree === chosen.ring) continue;
      found.push({ cfgParallel: cfg === 2, ulyssesDegree, ringDegree });
    }
  }
  return found;
}
