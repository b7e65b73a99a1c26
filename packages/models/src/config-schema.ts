import { z } from "zod";
import { ConfigError, type ConfigProblem } from "./config-error.ts";

/** Widths (channels, features) above this are taken for a damaged or hostile file. */
export const maxWidth = 65_536;
/** Layer counts above this are taken for a damaged or hostile file. */
export const maxLayers = 1_000;
/** Head counts above this are taken for a damaged or hostile file. */
export const maxHeads = 1_024;

/** An integer of `minimum` to `maximum`, both included; `note` says more about what is allowed. */
export function integer(minimum: number, maximum: number, note = "") {
  const error = `an integer from ${minimum} to ${maximum}${note === "" ? "" : `, ${note}`}`;
  return z.int({ error }).min(minimum, { error }).max(maximum, { error });
}

/** A width: an integer of 1 to {@link maxWidth}. */
export function width() {
  return integer(1, maxWidth);
}

/** An even integer of `minimum` to `maximum`, both included. */
export function evenInteger(minimum: number, maximum: number) {
  const error = `an even integer from ${minimum} to ${maximum}`;
  return z
    .int({ error })
    .min(minimum, { error })
    .max(maximum, { error })
    .refine((value) => value % 2 === 0, { error });
}

/** What is added to a variance before its root is taken: above 0, at most 0.1. */
export function epsilon() {
  const error = "a number above 0 and at most 0.1";
  return z.number({ error }).positive({ error }).max(0.1, { error });
}

/** Exactly one of `names`. */
export function oneOf<const Name extends string>(names: readonly [Name, ...Name[]]) {
  return z.enum(names, { error: names.map((name) => JSON.stringify(name)).join(" or ") });
}

/** true or false. */
export function flag() {
  return z.boolean({ error: "true or false" });
}

/**
 * The `quantization_config` of a checkpoint whose weights are stored quantized. Such weights have
 * other shapes and names than those of the model, so that they must be refused by name.
 */
export function noQuantization() {
  return z.null({ error: "absent: weights that are stored quantized can't be loaded" }).optional();
}

type CamelCase<Key extends string> = Key extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Key;

/** `Config` with its snake_case keys in camelCase, and without those that have one allowed value. */
export type CamelCased<Config> = {
  [Key in keyof Config as Key extends CheckedOnlyKey
    ? never
    : Key extends string
      ? CamelCase<Key>
      : never]: Config[Key];
};

const checkedOnlyKeys = ["_class_name", "model_type", "quantization_config", "attn_scales"] as const;
type CheckedOnlyKey = (typeof checkedOnlyKeys)[number];

/** Renames the keys of a checked config, and drops those that have one allowed value. */
export function camelCased<Config extends object>(config: Config): CamelCased<Config> {
  const entries = Object.entries(config)
    .filter(([key]) => !checkedOnlyKeys.some((checkedOnly) => checkedOnly === key))
    .map(([key, value]) => [key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase()), value]);
  // The mapped type says of the keys what the two lines above do to them.
  return Object.fromEntries(entries) as CamelCased<Config>;
}

/** Adds a problem that depends on more than one key. */
export type Report = (key: string, allowed: string) => void;

/** Runs `check` as a zod refinement over several keys, once each of them alone is right. */
export function acrossKeys<Config>(check: (config: Config, report: Report) => void) {
  return (config: Config, context: z.RefinementCtx<Config>): void => {
    if (context.issues.length > 0) return;
    check(config, (key, message) => context.addIssue({ code: "custom", path: [key], message }));
  };
}

/**
 * Parses `json`, the content of `file`, by `schema`.
 *
 * @throws ConfigError with every value that the schema doesn't take.
 */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  json: unknown,
  file: string,
): z.output<Schema> {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new ConfigError(
    file,
    result.error.issues.map((issue) => problemOf(issue, json)),
  );
}

function problemOf(issue: z.core.$ZodIssue, json: unknown): ConfigProblem {
  const key = issue.path.reduce<string>((path, step) => {
    if (typeof step === "number") return `${path}[${step}]`;
    return path === "" ? String(step) : `${path}.${String(step)}`;
  }, "");
  return { key, found: describeValue(valueAt(json, issue.path)), allowed: issue.message };
}

function valueAt(json: unknown, path: readonly PropertyKey[]): unknown {
  let value = json;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

const longestValue = 80;

function describeValue(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) return "missing";
  return text.length > longestValue ? `${text.slice(0, longestValue)}…` : text;
}
