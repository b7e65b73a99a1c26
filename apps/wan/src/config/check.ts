import { nearestName } from "@wan-ts/attention";
import type { z } from "zod";
import { flagOf, flags } from "../flags.ts";
import { InputError } from "../input-error.ts";
import { type Config, configSchema } from "./schema.ts";

/**
 * Checks what flags or a config file say.
 *
 * @param source names a key for messages: the flag, or the key and its file.
 * @throws {InputError} one line with every problem.
 */
export function checkConfig(value: unknown, source: (path: readonly PropertyKey[]) => string): Config {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) {
    refuseUnavailable(parsed.data, source);
    return parsed.data;
  }
  throw new InputError(parsed.error.issues.map((issue) => describe(issue, value, source)).join("; "));
}

function describe(
  issue: z.core.$ZodIssue,
  value: unknown,
  source: (path: readonly PropertyKey[]) => string,
): string {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKey([...issue.path, key], source)).join("; ");
  }
  const found = issue.path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
  const rule =
    issue.code === "invalid_type" && !issue.message.startsWith("must")
      ? `must be a ${issue.expected}`
      : issue.message;
  return `${source(issue.path)} ${rule}, but is ${shown(found)}`;
}

const longestShown = 80;

/** A value as JSON, shortened: a prompt that is too long is no message. */
function shown(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) return "missing";
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}

function unknownKey(path: readonly PropertyKey[], source: (path: readonly PropertyKey[]) => string): string {
  const group = path.slice(0, -1).join(".");
  const siblings = flags
    .map((flag) => flag.path)
    .filter((known) => known.slice(0, path.length - 1).join(".") === group)
    .map((known) => known[path.length - 1] as string);
  const key = String(path.at(-1));
  const near = nearestName(key, [...new Set(siblings)]);
  return `${source(path)} is not a config key${near === undefined ? "" : `; did you mean "${near}"?`}`;
}

/** What this version doesn't have is refused by name, rather than passed over. */
function refuseUnavailable(config: Config, source: (path: readonly PropertyKey[]) => string): void {
  for (const flag of flags.filter((candidate) => candidate.unavailable)) {
    const value = flag.path.reduce<unknown>(
      (inner, key) =>
        typeof inner === "object" && inner !== null ? (inner as Record<string, unknown>)[key] : undefined,
      config,
    );
    // One rank is what runs anyway, and an absent option is no wish.
    if (value === undefined || value === false || (value === 1 && flag.path[0] === "parallel")) continue;
    throw new InputError(`${source(flag.path)} is not available in this version of wan-ts`);
  }
  if (config.device !== undefined && config.device !== "cpu") {
    throw new InputError(
      `${source(["device"])}: ${config.device} is not available in this version of wan-ts; use cpu`,
    );
  }
}

/** Names a key by its flag. */
export function namedByFlag(path: readonly PropertyKey[]): string {
  return flagOf(path)?.name ?? path.join(".");
}

/** Names a key by the file it stands in. */
export function namedByFile(file: string): (path: readonly PropertyKey[]) => string {
  return (path) => (path.length === 0 ? file : `"${path.join(".")}" in ${file}`);
}
