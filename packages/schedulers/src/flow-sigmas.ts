import { SchedulerStepsError } from "./errors/scheduler-steps-error.ts";

/**
 * `count` evenly spaced float64 numbers from `start` to `stop`, both included, rounded as numpy.linspace rounds them.
 * With a count of 1, `start` alone.
 */
export function linspace(start: number, stop: number, count: number): number[] {
  if (count === 1) return [start];
  const intervals = count - 1;
  const step = (stop - start) / intervals;
  const values = Array.from({ length: count }, (_, index) => index * step + start);
  values[intervals] = stop;
  return values;
}

/** Shifts a noise level, in float64: `sσ / (1 + (s − 1)σ)`; s above 1 spends more steps at high noise. */
export function shiftSigma(sigma: number, shift: number): number {
  return (shift * sigma) / (1 + (shift - 1) * sigma);
}

/**
 * Stretches noise levels so that the last is `terminal` and a first of 1 stays (diffusers'
 * stretch_shift_to_terminal, after LTX-Video's rf.py). Levels are in (0, 1], falling.
 *
 * @throws SchedulerStepsError when the only level is 1, which can't move
 */
export function stretchToTerminal(sigmas: readonly number[], terminal: number): number[] {
  const last = sigmas[sigmas.length - 1];
  if (last === undefined || last === 1) {
    throw new SchedulerStepsError(
      sigmas.length,
      "shift_terminal needs at least 2 steps, to stretch between them",
    );
  }
  const scale = (1 - last) / (1 - terminal);
  return sigmas.map((sigma) => 1 - (1 - sigma) / scale);
}

/** @throws SchedulerStepsError unless `steps` is a whole number from 1 to `numTrainTimesteps` */
export function checkSteps(steps: number, numTrainTimesteps: number): void {
  if (!Number.isInteger(steps) || steps < 1 || steps > numTrainTimesteps) {
    throw new SchedulerStepsError(steps, `give a whole number from 1 to ${numTrainTimesteps}`);
  }
}
