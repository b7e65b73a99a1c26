/** One thing wrong with a scheduler config. */
export interface SchedulerConfigProblem {
  /** The key as scheduler_config.json spells it. */
  readonly key: string;
  /** What was found; undefined when the key is absent. */
  readonly value: unknown;
  /** What would be accepted, in words. */
  readonly supported: string;
}

/** A scheduler config that is malformed, out of bounds, or asks for what isn't supported; all problems at once. */
export class SchedulerConfigError extends Error {
  override readonly name = "SchedulerConfigError";
  readonly code = "SCHEDULER_CONFIG_INVALID";

  /**
   * @param problems at least one
   * @param source the file the config was read from, where there is one
   */
  constructor(
    readonly problems: readonly SchedulerConfigProblem[],
    readonly source?: string,
  ) {
    const lines = problems.map(
      ({ key, value, supported }) => `${key} is ${shown(value)}; supported: ${supported}`,
    );
    super(`${source ?? "scheduler config"}: ${lines.join(". ")}`);
  }
}

const longestShown = 80;

/** A value as JSON, shortened: a config's may be of any size. */
function shown(value: unknown): string {
  if (value === undefined) return "absent";
  const text = JSON.stringify(value);
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}
