import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  createScheduler,
  type LinearArithmetic,
  type Scheduler,
  SchedulerRunError,
  SchedulerStepsError,
} from "./index.ts";

const uniPcJson = {
  _class_name: "UniPCMultistepScheduler",
  prediction_type: "flow_prediction",
  use_flow_sigmas: true,
  flow_shift: 3,
};
const eulerJson = { _class_name: "FlowMatchEulerDiscreteScheduler", shift: 3 };
const uniPc = createScheduler(uniPcJson);
const euler = createScheduler(eulerJson);

const numbers: LinearArithmetic<number> = {
  weightedSum: (tensors, coefficients) =>
    tensors.reduce((sum, tensor, index) => sum + tensor * coefficients[index]!, 0),
};

/** Counted handles: what is read after its release, released twice, or never released shows. */
class CountedArithmetic implements LinearArithmetic<{ value: number }> {
  readonly live = new Set<{ value: number }>();
  failAt = Number.POSITIVE_INFINITY;
  #sums = 0;

  own(value: number): { value: number } {
    const handle = { value };
    this.live.add(handle);
    return handle;
  }

  weightedSum(tensors: readonly { value: number }[], coefficients: readonly number[]): { value: number } {
    this.#sums += 1;
    if (this.#sums === this.failAt) throw new Error("out of memory");
    if (!tensors.every((tensor) => this.live.has(tensor))) throw new Error("read after release");
    return this.own(
      numbers.weightedSum(
        tensors.map(({ value }) => value),
        coefficients,
      ),
    );
  }

  readonly lifetimes = {
    keep: ({ value }: { value: number }) => this.own(value),
    release: (tensor: { value: number }) => {
      if (!this.live.delete(tensor)) throw new Error("released twice");
    },
  };
}

/** Walks a run, disposing of model outputs and samples as soon as the step is over, failed or not. */
function walk(scheduler: Scheduler, steps: number, arithmetic: CountedArithmetic): number {
  using run = scheduler.start(steps, arithmetic);
  let sample = arithmetic.own(1);
  try {
    for (const timestep of run.timesteps) {
      const output = arithmetic.own(Math.sin(3 * sample.value + timestep / 200));
      try {
        const next = run.step(output, sample);
        arithmetic.lifetimes.release(sample);
        sample = next;
      } finally {
        arithmetic.lifetimes.release(output);
      }
    }
    return sample.value;
  } finally {
    arithmetic.lifetimes.release(sample);
  }
}

describe("a run", () => {
  test.each([1, 2, 3])("of order %i keeps what later steps need, and releases all in the end", (order) => {
    const arithmetic = new CountedArithmetic();
    const value = walk(createScheduler({ ...uniPcJson, solver_order: order }), 7, arithmetic);
    expect(value).toBeFinite();
    expect(arithmetic.live.size).toBe(0);
  });

  test("of Euler keeps nothing", () => {
    const arithmetic = new CountedArithmetic();
    walk(euler, 4, arithmetic);
    expect(arithmetic.live.size).toBe(0);
  });

  test("releases what it kept when it is left early", () => {
    const arithmetic = new CountedArithmetic();
    const run = uniPc.start(5, arithmetic);
    const [output, sample] = [arithmetic.own(0.5), arithmetic.own(1)];
    const next = run.step(output, sample);
    expect(arithmetic.live.size).toBeGreaterThan(3);
    run[Symbol.dispose]();
    expect([...arithmetic.live]).toEqual([output, sample, next]);
    expect(() => run.step(output, next)).toThrow(SchedulerRunError);
  });

  test.each([1, 2, 3, 4, 5, 6])("releases what it kept when sum %i fails, and ends", (failAt) => {
    const arithmetic = new CountedArithmetic();
    arithmetic.failAt = failAt;
    expect(() => walk(uniPc, 3, arithmetic)).toThrow("out of memory");
    expect(arithmetic.live.size).toBe(0);
  });

  test.each([
    ["UniPC", uniPc],
    ["Euler", euler],
  ])("of %s refuses a step after the last", (_, scheduler) => {
    const run = scheduler.start(1, numbers);
    run.step(0.5, 1);
    expect(() => run.step(0.5, 1)).toThrow("all 1 steps of this run were taken");
    expect(run.stepsTaken).toBe(1);
  });

  test("doesn't meet another run of the same scheduler", () => {
    const [first, second] = [uniPc.start(3, numbers), uniPc.start(3, numbers)];
    const alone = uniPc.start(3, numbers);
    let [a, b, c] = [1, 1, 1];
    for (let step = 0; step < 3; step++) {
      a = first.step(Math.sin(a), a);
      b = second.step(Math.cos(b), b);
      c = alone.step(Math.sin(c), c);
    }
    expect(a).toBe(c);
    expect(b).not.toBe(a);
  });

  test("ends at the denoised sample when the velocity is exact", () => {
    // With one sample x0 for all noise, the velocity (x − x0) / σ is known, and any solver must arrive at x0.
    const arrives = fc.property(
      fc.constantFrom(uniPcJson, { ...uniPcJson, solver_type: "bh1" }, eulerJson),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 60 }),
      fc.double({ min: 0.5, max: 20, noNaN: true }),
      fc.double({ min: -4, max: 4, noNaN: true }),
      (json, order, steps, flowShift, target) => {
        const scheduler = createScheduler(json === eulerJson ? json : { ...json, solver_order: order }, {
          flowShift,
        });
        const run = scheduler.start(steps, numbers);
        let sample = 1.5;
        for (const sigma of run.sigmas.slice(0, -1)) sample = run.step((sample - target) / sigma, sample);
        expect(Math.abs(sample - target)).toBeLessThan(1e-5);
      },
    );
    fc.assert(arrives, { numRuns: 300 });
  });
});

describe("a schedule", () => {
  test.each([0, -1, 1.5, Number.NaN, 1001])("refuses %p steps", (steps) => {
    expect(() => uniPc.schedule(steps)).toThrow(SchedulerStepsError);
    expect(() => euler.start(steps, numbers)).toThrow(SchedulerStepsError);
  });

  test("refuses to start where a step divides by zero", () => {
    const scheduler = createScheduler({ ...uniPcJson, lower_order_final: false });
    expect(() => scheduler.start(4, numbers)).toThrow("step 3 from sigma");
    expect(scheduler.start(1, numbers).step(0.5, 1)).toBeCloseTo(0.5, 5);
  });

  test("refuses to stretch a single level", () => {
    expect(() => createScheduler({ ...uniPcJson, shift_terminal: 0.1 }).schedule(1)).toThrow(
      SchedulerStepsError,
    );
  });

  test("walks a schedule whose truncated timesteps repeat", () => {
    const run = uniPc.withFlowShift(16).start(100, numbers);
    expect(run.timesteps[0]).toBe(run.timesteps[1]!);
    let sample = 1;
    for (const _ of run.timesteps) sample = run.step(0.5, sample);
    expect(sample).toBeCloseTo(0.5, 4);
  });

  test("falls from 1 to 0", () => {
    const falls = fc.property(
      fc.constantFrom(uniPc, euler),
      fc.integer({ min: 1, max: 200 }),
      fc.double({ min: 0.5, max: 30, noNaN: true }),
      (scheduler, steps, flowShift) => {
        const { timesteps, sigmas } = scheduler.withFlowShift(flowShift).schedule(steps);
        expect(timesteps).toHaveLength(steps);
        expect(sigmas).toHaveLength(steps + 1);
        // The float32 quotient of a shift with itself plus 0 may miss 1 by a rounding.
        expect(Math.abs(sigmas[0]! - 1)).toBeLessThan(2e-6);
        expect(sigmas.at(-1)).toBe(0);
        for (let i = 1; i < sigmas.length; i++) expect(sigmas[i]!).toBeLessThan(sigmas[i - 1]!);
      },
    );
    fc.assert(falls, { numRuns: 100 });
  });
});
