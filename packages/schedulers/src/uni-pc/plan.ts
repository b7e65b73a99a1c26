import type { UniPcConfig } from "../config/scheduler-config.ts";
import { SchedulerStepsError } from "../errors/scheduler-steps-error.ts";
import type { Schedule } from "../scheduler.ts";
import { uniPcSchedule } from "./schedule.ts";
import { type UniPcUpdate, uniPcUpdate } from "./update.ts";

/** One step as numbers. */
export interface UniPcStep {
  /** Noise level at which the model answers: the converted output is `sample − sigma · output`. */
  readonly sigma: number;
  /** Corrects the sample by the new output, from the sample before; null where there is nothing to correct. */
  readonly corrector: UniPcUpdate | null;
  readonly predictor: UniPcUpdate;
}

/** A whole run as numbers: nothing of it depends on the samples. */
export interface UniPcPlan extends Schedule {
  readonly steps: readonly UniPcStep[];
}

/**
 * Works out each step of a run (diffusers: UniPCMultistepScheduler.step). The order grows from 1 to the solver's over
 * the first steps, and falls back to 1 towards the last with lowerOrderFinal; a corrector has the order of the
 * predictor that it corrects.
 *
 * @throws SchedulerStepsError for the number of steps, or when an update isn't finite
 */
export function uniPcPlan(config: UniPcConfig, steps: number): UniPcPlan {
  const { timesteps, sigmas } = uniPcSchedule(config, steps);
  const orderAt = (step: number) =>
    Math.min(config.solverOrder, step + 1, config.lowerOrderFinal ? steps - step : config.solverOrder);
  const planned = timesteps.map((_, step): UniPcStep => {
    const corrects = step > 0 && !config.disableCorrector.includes(step - 1);
    const corrector = corrects
      ? uniPcUpdate(sigmas, step - 1, orderAt(step - 1), config.solverType, "corrector")
      : null;
    const predictor = uniPcUpdate(sigmas, step, orderAt(step), config.solverType, "predictor");
    for (const update of [corrector, predictor]) {
      if (update !== null && ![update.sample, ...update.outputs].every(Number.isFinite)) {
        throw new SchedulerStepsError(
          steps,
          `step ${step} from sigma ${sigmas[step]} to ${sigmas[step + 1]} has no finite update of order ` +
            `${orderAt(step)}; set lower_order_final, take fewer steps or a smaller flow_shift`,
        );
      }
    }
    return { sigma: sigmas[step]!, corrector, predictor };
  });
  return { timesteps, sigmas, steps: planned };
}
