import { InputError } from "./input-error.ts";

/** Error classes that mean bad input: status 2. */
const inputErrors = new Set([
  "InputError",
  "PipelineInputError",
  "CheckpointError",
  "ConfigError",
  "StateError",
  "ImageError",
  "OutputError",
  "UnknownBackendError",
  "UnsupportedAttentionError",
  "SchedulerConfigError",
  "SchedulerStepsError",
  "TokenizerError",
]);

/**
 * Writes one line about what went wrong to standard error and returns the exit status: 2 for bad
 * input, 1 for a failure while running.
 */
export function reportFailure(error: unknown): 1 | 2 {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error: ${message.replaceAll(/\s*\n\s*/g, " ")}\n`);
  return error instanceof InputError || (error instanceof Error && inputErrors.has(error.name)) ? 2 : 1;
}
