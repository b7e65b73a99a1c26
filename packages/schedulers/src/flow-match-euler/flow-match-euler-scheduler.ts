import { changeFlowShift } from "../config/change-flow-shift.ts";
import { parseSchedulerConfig } from "../config/parse-scheduler-config.ts";
import type { FlowMatchEulerConfig } from "../config/scheduler-config.ts";
import { SchedulerConfigError } from "../errors/scheduler-config-error.ts";
import type { LinearArithmetic } from "../linear-arithmetic.ts";
import type { Schedule, Scheduler, SchedulerRun } from "../scheduler.ts";
import { FlowMatchEulerRun } from "./flow-match-euler-run.ts";
import { flowMatchEulerSchedule } from "./schedule.ts";

/** Euler steps along the flow, as diffusers' FlowMatchEulerDiscreteScheduler takes them. */
export class FlowMatchEulerScheduler implements Scheduler {
  readonly config: FlowMatchEulerConfig;

  /** @param config as `parseSchedulerConfig` checked it */
  constructor(config: FlowMatchEulerConfig) {
    this.config = Object.freeze({ ...config });
  }

  /**
   * @param json parsed scheduler_config.json of class FlowMatchEulerDiscreteScheduler
   * @param source the file's name, for the error
   * @throws SchedulerConfigError
   */
  static fromConfig(json: unknown, source?: string): FlowMatchEulerScheduler {
    const config = parseSchedulerConfig(json, source);
    if (config.kind === "euler") return new FlowMatchEulerScheduler(config);
    const problem = { key: "_class_name", value: config.kind, supported: "FlowMatchEulerDiscreteScheduler" };
    throw new SchedulerConfigError([problem], source);
  }

  withFlowShift(flowShift: number): FlowMatchEulerScheduler {
    return new FlowMatchEulerScheduler(changeFlowShift(this.config, flowShift));
  }

  schedule(steps: number): Schedule {
    return flowMatchEulerSchedule(this.config, steps);
  }

  start<T>(steps: number, arithmetic: LinearArithmetic<T>): SchedulerRun<T> {
    return new FlowMatchEulerRun(flowMatchEulerSchedule(this.config, steps), arithmetic);
  }
}
