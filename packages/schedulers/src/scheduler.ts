import type { SchedulerConfig } from "./config/scheduler-config.ts";
import type { LinearArithmetic } from "./linear-arithmetic.ts";

/** The noise levels of a run. */
export interface Schedule {
  /** What the model is told at each step, in (0, num_train_timesteps]; as many as steps. */
  readonly timesteps: readonly number[];
  /** Share of noise before each step and after the last, falling; one more than steps. Each is a float32 value. */
  readonly sigmas: readonly number[];
}

/**
 * One walk from noise to a sample. Its memory of earlier steps is its own: two runs of one scheduler don't meet.
 * Disposing of it releases what it still keeps; the last step does so too.
 */
export interface SchedulerRun<T> extends Schedule, Disposable {
  /** Steps taken so far. */
  readonly stepsTaken: number;
  /**
   * Takes the next step.
   *
   * @param modelOutput the model's answer (velocity: noise − sample) at `timesteps[stepsTaken]`
   * @param sample the latents that the model saw; float32 at the first step
   * @returns the next latents, a new tensor owned by the caller
   * @throws SchedulerRunError after the last step, or when the run was disposed of
   */
  step(modelOutput: T, sample: T): T;
}

/** An immutable scheduler: a checked config, and runs made from it. */
export interface Scheduler {
  readonly config: SchedulerConfig;
  /** The same scheduler with another shift of the noise levels. @throws SchedulerConfigError out of bounds */
  withFlowShift(flowShift: number): Scheduler;
  /** @throws SchedulerStepsError when `steps` isn't a whole number from 1 to num_train_timesteps */
  schedule(steps: number): Schedule;
  /**
   * A fresh run of `steps` steps.
   *
   * @throws SchedulerStepsError as `schedule` does, or when the config has no finite update for one of the steps
   */
  start<T>(steps: number, arithmetic: LinearArithmetic<T>): SchedulerRun<T>;
}
