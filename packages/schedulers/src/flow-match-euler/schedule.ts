import type { FlowMatchEulerConfig } from "../config/scheduler-config.ts";
import { checkSteps, linspace, shiftSigma, stretchToTerminal } from "../flow-sigmas.ts";
import type { Schedule } from "../scheduler.ts";

const float32 = Math.fround;

/** A noise level of the training schedule, shifted; diffusers computes these in float32. */
function shiftedTrainSigma(timestep: number, config: FlowMatchEulerConfig): number {
  const sigma = float32(timestep / config.numTrainTimesteps);
  const numerator = float32(float32(config.flowShift) * sigma);
  return float32(numerator / float32(1 + float32(float32(config.flowShift - 1) * sigma)));
}

/**
 * Noise levels of flow-match Euler (diffusers: FlowMatchEulerDiscreteScheduler.set_timesteps). They run evenly between
 * the ends of the training schedule, which is shifted already, and are then shifted: the shift acts twice.
 *
 * @throws SchedulerStepsError
 */
export function flowMatchEulerSchedule(config: FlowMatchEulerConfig, steps: number): Schedule {
  checkSteps(steps, config.numTrainTimesteps);
  const { numTrainTimesteps } = config;
  const first = shiftedTrainSigma(numTrainTimesteps, config) * numTrainTimesteps;
  const last = shiftedTrainSigma(1, config) * numTrainTimesteps;
  let sigmas = linspace(first, last, steps).map((timestep) =>
    shiftSigma(timestep / numTrainTimesteps, config.flowShift),
  );
  if (config.shiftTerminal !== null) sigmas = stretchToTerminal(sigmas, config.shiftTerminal);
  sigmas = sigmas.map(float32);
  return { timesteps: sigmas.map((sigma) => float32(sigma * numTrainTimesteps)), sigmas: [...sigmas, 0] };
}
