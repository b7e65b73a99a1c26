import type { UniPcConfig } from "../config/scheduler-config.ts";
import { checkSteps, linspace, shiftSigma, stretchToTerminal } from "../flow-sigmas.ts";
import type { Schedule } from "../scheduler.ts";

/** How far a first noise level of 1 is lowered: at 1 the signal is 0 and its logarithm infinite. */
const FIRST_SIGMA_MARGIN = 1e-6;

/**
 * Noise levels of UniPC (diffusers: UniPCMultistepScheduler.set_timesteps with use_flow_sigmas). Computed in float64;
 * timesteps are truncated to whole numbers, sigmas rounded to float32.
 *
 * @throws SchedulerStepsError
 */
export function uniPcSchedule(config: UniPcConfig, steps: number): Schedule {
  checkSteps(steps, config.numTrainTimesteps);
  let sigmas = linspace(1, 1 / config.numTrainTimesteps, steps + 1)
    .slice(0, -1)
    .map((sigma) => shiftSigma(sigma, config.flowShift));
  if (config.shiftTerminal !== null) sigmas = stretchToTerminal(sigmas, config.shiftTerminal);
  const first = sigmas[0]!;
  if (Math.abs(first - 1) < FIRST_SIGMA_MARGIN) sigmas[0] = first - FIRST_SIGMA_MARGIN;
  const last = config.finalSigmasType === "zero" ? 0 : sigmas[steps - 1]!;
  return {
    timesteps: sigmas.map((sigma) => Math.trunc(sigma * config.numTrainTimesteps)),
    sigmas: [...sigmas, last].map(Math.fround),
  };
}
