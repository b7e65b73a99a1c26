/** A step asked of a run that has none left. */
export class SchedulerRunError extends Error {
  override readonly name = "SchedulerRunError";
  readonly code = "SCHEDULER_RUN_ENDED";

  /**
   * @param stepsTaken steps the run had taken
   * @param steps steps it was started with; more than `stepsTaken` when it was disposed of, or a step failed
   */
  constructor(
    readonly stepsTaken: number,
    readonly steps: number,
  ) {
    super(
      stepsTaken === steps
        ? `all ${steps} steps of this run were taken; start another run`
        : `this run ended after ${stepsTaken} of ${steps} steps (disposed of, or a step failed); start another run`,
    );
  }
}
