import { SchedulerRunError } from "../errors/scheduler-run-error.ts";
import type { LinearArithmetic } from "../linear-arithmetic.ts";
import type { Schedule, SchedulerRun } from "../scheduler.ts";

/** A run of flow-match Euler; it remembers nothing but where it is. */
export class FlowMatchEulerRun<T> implements SchedulerRun<T> {
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[];
  readonly #arithmetic: LinearArithmetic<T>;
  #stepsTaken = 0;
  #ended = false;

  constructor(schedule: Schedule, arithmetic: LinearArithmetic<T>) {
    this.timesteps = schedule.timesteps;
    this.sigmas = schedule.sigmas;
    this.#arithmetic = arithmetic;
  }

  get stepsTaken(): number {
    return this.#stepsTaken;
  }

  /** As `SchedulerRun.step`; the result has the dtype of the model output, as diffusers casts it. */
  step(modelOutput: T, sample: T): T {
    const sigma = this.sigmas[this.#stepsTaken];
    const nextSigma = this.sigmas[this.#stepsTaken + 1];
    if (this.#ended || sigma === undefined || nextSigma === undefined) {
      throw new SchedulerRunError(this.#stepsTaken, this.timesteps.length);
    }
    const next = this.#arithmetic.weightedSum(
      [sample, modelOutput],
      [1, Math.fround(nextSigma - sigma)],
      modelOutput,
    );
    this.#stepsTaken += 1;
    return next;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
  }
}
