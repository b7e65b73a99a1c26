import { changeFlowShift } from "../config/change-flow-shift.ts";
import { parseSchedulerConfig } from "../config/parse-scheduler-config.ts";
import type { UniPcConfig } from "../config/scheduler-config.ts";
import { SchedulerConfigError } from "../errors/scheduler-config-error.ts";
import type { LinearArithmetic } from "../linear-arithmetic.ts";
import type { Schedule, Scheduler, SchedulerRun } from "../scheduler.ts";
import { uniPcPlan } from "./plan.ts";
import { uniPcSchedule } from "./schedule.ts";
import { UniPcRun } from "./uni-pc-run.ts";

/**
 * UniPC (Zhao et al., arXiv 2302.04867): a predictor of order p, each of whose results the next model output corrects
 * at no extra cost. Numbers as diffusers' UniPCMultistepScheduler gives them for a flow-matching model; where that
 * divides by zero at a final sigma of 0 though nothing is left to correct (bh1), the finite limit.
 *
 * Steps are counted, not looked up by timestep, so that a schedule whose truncated timesteps repeat is walked whole.
 */
export class UniPcScheduler implements Scheduler {
  readonly config: UniPcConfig;

  /** @param config as `parseSchedulerConfig` checked it */
  constructor(config: UniPcConfig) {
    this.config = Object.freeze({ ...config });
  }

  /**
   * @param json parsed scheduler_config.json of class UniPCMultistepScheduler
   * @param source the file's name, for the error
   * @throws SchedulerConfigError
   */
  static fromConfig(json: unknown, source?: string): UniPcScheduler {
    const config = parseSchedulerConfig(json, source);
    if (config.kind === "unipc") return new UniPcScheduler(config);
    const problem = { key: "_class_name", value: config.kind, supported: "UniPCMultistepScheduler" };
    throw new SchedulerConfigError([problem], source);
  }

  withFlowShift(flowShift: number): UniPcScheduler {
    return new UniPcScheduler(changeFlowShift(this.config, flowShift));
  }

  schedule(steps: number): Schedule {
    return uniPcSchedule(this.config, steps);
  }

  start<T>(steps: number, arithmetic: LinearArithmetic<T>): SchedulerRun<T> {
    return new UniPcRun(uniPcPlan(this.config, steps), this.config.solverOrder, arithmetic);
  }
}
