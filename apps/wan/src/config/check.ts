import { nearestName } from "@wan-ts/attention";
import type { z } from "zod";
import { flagOf, flags } from "../flags.ts";
import { InputError } from "../input-error.ts";
import { type Config, configSchema } from "./schema.ts";

/** Names a key for messages: its flag, or the key and its file. */
export type KeyNaming = (path: readonly PropertyKey[]) => string;

/**
 * Checks what flags or a config file say.
 *
 * @param schema all keys, or a choice of them.
 * @throws {InputError} one line with every problem, and the nearest name for each that is unknown.
 */
export function checkConfig(
  value: unknown,
  nameOf: KeyNaming,
  schema: z.ZodType<Config> = configSchema,
): Config {
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    throw new InputError(parsed.error.issues.map((issue) => describe(issue, value, nameOf)).join("; "));
  }
  refuseUnavailable(parsed.data, nameOf);
  return parsed.data;
}

/** Names a key by its flag. */
export function namedByFlag(path: readonly PropertyKey[]): string {
  return flagOf(path)?.name ?? path.join(".");
}

/** Names a key by the file it stands in. */
export function namedByFile(file: string): KeyNaming {
  return (path) => (path.length === 0 ? file : `"${path.join(".")}" in ${file}`);
}

function describe(issue: z.core.$ZodIssue, value: unknown, nameOf: KeyNaming): string {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKey([...issue.path, key], nameOf)).join("; ");
  }
  const rule =
    issue.code === "invalid_type" && !issue.message.startsWith("must")
      ? `must be ${kinds[issue.expected] ?? issue.expected}`
      : issue.message;
  return `${nameOf(issue.path)} ${rule}, but is ${shown(valueAt(value, issue.path))}`;
}

const kinds: Readonly<Record<string, string>> = {
  object: "an object",
  string: "text",
  number: "a number",
  boolean: "true or false",
};

/** How much of a value a message shows: a prompt that is too long is no message. */
const longestShown = 80;

/** A value as a message shows it: JSON, shortened, and what JSON has no word for. */
function shown(value: unknown): string {
  if (typeof value === "number") return String(value);
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) return value === undefined ? "missing" : `a ${typeof value}`;
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}

function unknownKey(path: readonly PropertyKey[], nameOf: KeyNaming): string {
  const group = path.slice(0, -1).join(".");
  const key = String(path.at(-1));
  const siblings = new Set(
    flags
      .map((flag) => flag.path)
      .filter((known) => known.slice(0, path.length - 1).join(".") === group)
      .map((known) => known[path.length - 1] as string),
  );
  const elsewhere = flags.find((flag) => flag.path.at(-1) === key)?.path.join(".");
  const near = nearestName(key, siblings) ?? elsewhere;
  return `${nameOf(path)} is not a config key${near === undefined ? "" : `; did you mean "${near}"?`}`;
}

/** What this version doesn't have is refused by name, rather than passed over. */
function refuseUnavailable(config: Config, nameOf: KeyNaming): void {
  for (const { path, unavailable } of flags) {
    if (!unavailable) continue;
    const value = valueAt(config, path);
    // What is off or absent is no wish.
    if (value === undefined || value === false) continue;
    throw new InputError(`${nameOf(path)} is not available in this version of wan-ts`);
  }
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}
