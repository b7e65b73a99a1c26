import { threads } from "@wan-ts/tensor";
import { describeMachine, measureSpeed, type RunPlan } from "@wan-ts/wan";
import type { PlanFlags } from "../arguments.ts";
import type { Config } from "../config/schema.ts";
import { freeDeviceBytes } from "../generate/device.ts";
import { type Job, prepareJob } from "../generate/job.ts";
import { checkingInput, InputError } from "../input-error.ts";
import { planJob } from "./check-memory.ts";
import { planJobRanks, type RanksComparison } from "./plan-job-ranks.ts";
import { planTable } from "./plan-table.ts";
import { ranksTable } from "./ranks-table.ts";

/**
 * Prints what `generate` would take with the same flags: parameters, memory, work and time. Loads no
 * weights.
 *
 * @throws {InputError} for what `generate` would refuse; a lack of memory is told in the plan, unless
 * the run is too large to be planned at all.
 */
export async function showPlan(
  configFile: string | undefined,
  flags: Config,
  asked: PlanFlags,
): Promise<void> {
  // Ranks that aren't of this machine have its like for themselves.
  const planned = asked.ranks === undefined ? undefined : { size: asked.ranks, threads: threads() };
  const job = await checkingInput(() => prepareJob(configFile, flags, planned, "planned"));
  const deviceAvailableBytes = asked.deviceMemory ?? freeDeviceBytes(job.load.device);
  const machine = { ...(await describeMachine()), deviceAvailableBytes, speed: await measureSpeed() };
  const { plan, refusal } = await checkingInput(() => planJob(job, machine));
  if (!plan) throw new InputError(refusal);
  const ranks = await checkingInput(() => planJobRanks(job, machine, plan, asked));
  process.stdout.write(
    job.json
      ? `${JSON.stringify(toJson(job, plan, refusal, ranks))}\n`
      : planTable(plan, refusal) + (ranks ? ranksTable(ranks) : ""),
  );
}

/** The object that `plan --json` prints; sizes in bytes, times in seconds. */
function toJson(
  job: Job,
  plan: RunPlan,
  refusal: string | undefined,
  ranks: RanksComparison | undefined,
): Record<string, unknown> {
  const { sizes, parts, stages, ...totals } = plan;
  const { batch, height, width, numFrames: frames, steps } = sizes;
  return {
    model: job.checkpoint.path,
    ...{ height, width, frames, steps, batch },
    ...totals,
    fits: refusal === undefined,
    ...(refusal === undefined ? {} : { refusal }),
    parts,
    stages,
    ...(ranks
      ? ranksJson(ranks)
      : { ranks: [{ rank: 0, peakResidentBytes: plan.peakResidentBytes }], collectives: {} }),
  };
}

function ranksJson({ chosen, others, bandwidth }: RanksComparison): Record<string, unknown> {
  const totals: Record<string, { count: number; bytesSent: number; bytesReceived: number }> = {};
  for (const { collective, count, bytesSent, bytesReceived } of chosen.ranks[0]?.collectives ?? []) {
    const total = totals[collective] ?? { count: 0, bytesSent: 0, bytesReceived: 0 };
    totals[collective] = total;
    total.count += count;
    total.bytesSent += bytesSent;
    total.bytesReceived += bytesReceived;
  }
  return {
    ranks: chosen.ranks.map(({ plan, ...rank }) => ({ ...rank, peakResidentBytes: plan.peakResidentBytes })),
    // Of rank 0, one rank's of a run with nothing to exchange being none.
    collectives: totals,
    parallel: {
      ...chosen.degrees,
      perBlock: chosen.perBlock,
      bandwidth,
      seconds: chosen.seconds,
      efficiency: chosen.efficiency,
    },
    alternatives: others.map(({ degrees, seconds, efficiency, ranks }) => ({
      ...degrees,
      seconds,
      efficiency,
      exchangedBytes: ranks[0]?.exchangedBytes,
    })),
  };
}
