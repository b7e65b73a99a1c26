import { SchedulerRunError } from "../errors/scheduler-run-error.ts";
import type { LinearArithmetic } from "../linear-arithmetic.ts";
import type { SchedulerRun } from "../scheduler.ts";
import type { UniPcPlan } from "./plan.ts";

/** A run of UniPC: its plan, and what it remembers of the steps taken. */
export class UniPcRun<T> implements SchedulerRun<T> {
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[];
  readonly #plan: UniPcPlan;
  readonly #solverOrder: number;
  readonly #arithmetic: LinearArithmetic<T>;
  /** Converted outputs that a later step may need, newest first; kept. */
  #outputs: T[] = [];
  /** The sample that the last predictor left from; kept. Boxed, since T may hold undefined. */
  #lastSample: { readonly tensor: T } | null = null;
  #stepsTaken = 0;
  #ended = false;

  constructor(plan: UniPcPlan, solverOrder: number, arithmetic: LinearArithmetic<T>) {
    this.timesteps = plan.timesteps;
    this.sigmas = plan.sigmas;
    this.#plan = plan;
    this.#solverOrder = solverOrder;
    this.#arithmetic = arithmetic;
  }

  get stepsTaken(): number {
    return this.#stepsTaken;
  }

  step(modelOutput: T, sample: T): T {
    const { steps } = this.#plan;
    const step = steps[this.#stepsTaken];
    if (this.#ended || step === undefined) throw new SchedulerRunError(this.#stepsTaken, steps.length);
    try {
      const { sigma, corrector, predictor } = step;
      this.#outputs.unshift(this.#keptSum([sample, modelOutput], [1, -sigma]));
      const from =
        corrector !== null && this.#lastSample !== null
          ? this.#keptSum(
              [this.#lastSample.tensor, ...this.#outputs.slice(0, corrector.outputs.length)],
              [corrector.sample, ...corrector.outputs],
            )
          : this.#keep(sample);
      this.#replaceLastSample(from);
      for (const output of this.#outputs.splice(this.#solverOrder)) this.#release(output);
      const next = this.#arithmetic.weightedSum(
        [from, ...this.#outputs.slice(0, predictor.outputs.length)],
        [predictor.sample, ...predictor.outputs],
      );
      this.#stepsTaken += 1;
      if (this.#stepsTaken === steps.length) this[Symbol.dispose]();
      return next;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    for (const output of this.#outputs.splice(0)) this.#release(output);
    if (this.#lastSample !== null) this.#release(this.#lastSample.tensor);
    this.#lastSample = null;
  }

  #keep(tensor: T): T {
    const { lifetimes } = this.#arithmetic;
    return lifetimes === undefined ? tensor : lifetimes.keep(tensor);
  }

  #release(tensor: T): void {
    this.#arithmetic.lifetimes?.release(tensor);
  }

  #keptSum(tensors: readonly T[], coefficients: readonly number[]): T {
    const { lifetimes } = this.#arithmetic;
    const sum = this.#arithmetic.weightedSum(tensors, coefficients);
    if (lifetimes === undefined) return sum;
    try {
      return lifetimes.keep(sum);
    } finally {
      lifetimes.release(sum);
    }
  }

  #replaceLastSample(tensor: T): void {
    if (this.#lastSample !== null) this.#release(this.#lastSample.tensor);
    this.#lastSample = { tensor };
  }
}
