import { describeMachine, measureSpeed, type RunPlan } from "@wan-ts/wan";
import type { Config } from "../config/schema.ts";
import { type Job, prepareJob } from "../generate/job.ts";
import { checkingInput, InputError } from "../input-error.ts";
import { planJob } from "./check-memory.ts";
import { planTable } from "./plan-table.ts";

/**
 * Prints what `generate` would take with the same flags: parameters, memory, work and time. Loads no
 * weights.
 *
 * @throws {InputError} for what `generate` would refuse; a lack of memory is told in the plan, unless
 * the run is too large to be planned at all.
 */
export async function showPlan(configFile: string | undefined, flags: Config): Promise<void> {
  const job = await checkingInput(() => prepareJob(configFile, flags));
  const machine = { ...(await describeMachine()), speed: await measureSpeed() };
  const { plan, refusal } = await checkingInput(() => planJob(job, machine));
  if (!plan) throw new InputError(refusal);
  process.stdout.write(
    job.json ? `${JSON.stringify(toJson(job, plan, refusal))}\n` : planTable(plan, refusal),
  );
}

/** The object that `plan --json` prints; sizes in bytes, times in seconds. */
function toJson(job: Job, plan: RunPlan, refusal: string | undefined): Record<string, unknown> {
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
    // One rank exchanges nothing.
    ranks: [{ rank: 0, peakResidentBytes: plan.peakResidentBytes }],
    collectives: {},
  };
}
