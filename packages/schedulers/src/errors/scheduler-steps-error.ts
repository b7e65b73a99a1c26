/** A number of steps that a scheduler can't take. */
export class SchedulerStepsError extends Error {
  override readonly name = "SchedulerStepsError";
  readonly code = "SCHEDULER_STEPS_INVALID";

  /**
   * @param steps what was asked for
   * @param reason why it can't be, and what can
   */
  constructor(
    readonly steps: number,
    readonly reason: string,
  ) {
    super(`${steps} steps: ${reason}`);
  }
}
