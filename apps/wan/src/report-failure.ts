import { InputError } from "./input-error.ts";

/** Enough for every problem of a model; a name out of a hostile file may be far longer. */
const longestLine = 4000;

/**
 * Writes one line about what went wrong to `stream` and returns the exit status: 2 for bad input, 1
 * for a failure while running.
 */
export function reportFailure(error: unknown, stream: { write(text: string): unknown }): 1 | 2 {
  stream.write(`error: ${messageLine(error)}\n`);
  return error instanceof InputError ? 2 : 1;
}

/** The error's message in one line that no terminal takes for commands, cut where it is very long. */
export function messageLine(error: unknown): string {
  const line = (error instanceof Error ? error.message : String(error))
    .trim()
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll(/\p{Cc}/gu, "\uFFFD");
  return line.length > longestLine ? `${line.slice(0, longestLine)}…` : line || "unknown failure";
}
