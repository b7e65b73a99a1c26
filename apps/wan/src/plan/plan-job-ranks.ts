import { ContextParallelError } from "@wan-ts/context-parallel";
import { alternatives, type Machine, planRanks, type RanksPlan, type RunPlan } from "@wan-ts/wan";
import type { PlanFlags } from "../arguments.ts";
import type { Job } from "../generate/job.ts";
import { runOptions } from "./check-memory.ts";

/** A run over ranks as it was asked for, beside the other ways to lay them out. */
export interface RanksComparison {
  readonly chosen: RanksPlan;
  /** Best first; for each, rank 0 and the last rank alone are told of. */
  readonly others: readonly RanksPlan[];
  readonly bandwidth: number;
}

/** Bytes a second that processes of one machine exchange through shared memory. */
const sharedMemoryBandwidth = 5e9;

/** The plan over ranks, where there is more than one. */
export async function planJobRanks(
  job: Job,
  machine: Machine,
  alone: RunPlan,
  { bandwidth = sharedMemoryBandwidth }: Pick<PlanFlags, "bandwidth">,
): Promise<RanksComparison | undefined> {
  const { ranks: worldSize, degrees } = job.parallel;
  if (worldSize === 1) return undefined;
  const run = runOptions(job);
  const setting = { worldSize, bandwidth };
  const { checkpoint } = job;
  const chosen = await planRanks(checkpoint, run, machine, setting, degrees, alone);
  const facts = {
    heads: checkpoint.transformer.numAttentionHeads,
    guided: alone.sizes.guidanceScale > 1,
  };
  const others: RanksPlan[] = [];
  for (const other of alternatives(chosen, facts)) {
    try {
      others.push(await planRanks(checkpoint, run, machine, setting, other, alone));
    } catch (error) {
      // What the attention backend can't do is no alternative.
      if (!(ContextParallelError.isInstance(error) && error.code === "attention")) throw error;
    }
  }
  others.sort((left, right) => (right.efficiency ?? 0) - (left.efficiency ?? 0));
  return { chosen, others, bandwidth };
}
