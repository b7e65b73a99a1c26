export { parseSchedulerConfig } from "./config/parse-scheduler-config.ts";
export type {
  FlowMatchEulerConfig,
  SchedulerConfig,
  SchedulerKind,
  UniPcConfig,
} from "./config/scheduler-config.ts";
export { type CreateSchedulerOptions, createScheduler } from "./create-scheduler.ts";
export { SchedulerConfigError, type SchedulerConfigProblem } from "./errors/scheduler-config-error.ts";
export { SchedulerRunError } from "./errors/scheduler-run-error.ts";
export { SchedulerStepsError } from "./errors/scheduler-steps-error.ts";
export { FlowMatchEulerScheduler } from "./flow-match-euler/flow-match-euler-scheduler.ts";
export type { LinearArithmetic, TensorLifetimes } from "./linear-arithmetic.ts";
export type { Schedule, Scheduler, SchedulerRun } from "./scheduler.ts";
export { UniPcScheduler } from "./uni-pc/uni-pc-scheduler.ts";
