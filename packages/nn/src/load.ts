import { type DType, scope, type Tensor } from "@wan-ts/tensor";
import type { ModuleNode } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** What a checkpoint says of a tensor without reading it. */
export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The file it lies in, for messages. */
  readonly file?: string;
}

/** Named tensors to load from: a checkpoint, or tensors in memory. */
export interface TensorSource {
  /** For messages: a file or folder. */
  readonly description: string;
  names(): Iterable<string>;
  entry(name: string): TensorEntry | undefined;
  /** A tensor of the stored dtype, which the caller disposes. */
  tensor(name: string): Tensor;
}

/** How {@link loadParameters} maps a checkpoint onto a module. */
export interface LoadOptions {
  /** The dtype that parameters are cast to on load. */
  readonly dtype: DType;
  /**
   * Parts of a name that keep a parameter in float32, compared with each component of the full
   * name, as diffusers' `_keep_in_fp32_modules` are.
   */
  readonly keepInFloat32?: readonly string[];
  /** Other names a parameter may be stored under, first found first. */
  readonly aliases?: Readonly<Record<string, readonly string[]>>;
  /** Stored tensors that the module has no use for, by exact name or pattern. */
  readonly ignored?: readonly (string | RegExp)[];
}

/** One disagreement between a checkpoint and a module. */
export type StateProblem =
  | { readonly kind: "missing"; readonly name: string; readonly expected: readonly number[] }
  | { readonly kind: "unexpected"; readonly name: string; readonly found: readonly number[] }
  | {
      readonly kind: "shape";
      readonly name: string;
      readonly expected: readonly number[];
      readonly found: readonly number[];
    }
  | { readonly kind: "dtype"; readonly name: string; readonly expected: string; readonly found: string };

/** How many problems of each kind a message spells out. */
const toldProblems = 5;

/** A checkpoint that doesn't fit a module: every missing, unexpected and misfitting tensor. */
export class StateError extends Error {
  override readonly name = "StateError";
  readonly code = "stateMismatch";
  readonly source: string;
  readonly problems: readonly StateProblem[];

  constructor(source: string, problems: readonly StateProblem[]) {
    const told = problems.slice(0, toldProblems).map(describe);
    const more = problems.length > toldProblems ? `; and ${problems.length - toldProblems} more` : "";
    super(`${source} doesn't fit the model: ${told.join("; ")}${more}`);
    this.source = source;
    this.problems = problems;
  }
}

function describe(problem: StateProblem): string {
  switch (problem.kind) {
    case "missing":
      return `${problem.name} [${problem.expected}] is missing`;
    case "unexpected":
      return `${problem.name} [${problem.found}] is unexpected`;
    case "shape":
      return `${problem.name} is [${problem.found}], expected [${problem.expected}]`;
    case "dtype":
      return `${problem.name} is ${problem.found}, expected ${problem.expected}`;
  }
}

const loadable: readonly string[] = ["float32", "bfloat16", "float16"];

/**
 * Compares names, shapes and dtypes of a checkpoint with a module's parameters, reading no values.
 * Returns the stored name of each parameter that is present.
 *
 * @throws {StateError} with every disagreement.
 */
export function checkParameters(
  module: ModuleNode,
  source: TensorSource,
  options: Pick<LoadOptions, "aliases" | "ignored"> = {},
): Map<Parameter, string> {
  const problems: StateProblem[] = [];
  const stored = new Map<Parameter, string>();
  const used = new Set<string>();
  for (const [name, parameter] of module.namedParameters()) {
    const candidates = [name, ...(options.aliases?.[name] ?? [])];
    const found = candidates.find((candidate) => source.entry(candidate));
    for (const candidate of candidates) used.add(candidate);
    if (found === undefined) {
      if (!parameter.options.optional) problems.push({ kind: "missing", name, expected: parameter.shape });
      continue;
    }
    const entry = source.entry(found) as TensorEntry;
    if (!sameShape(entry.shape, parameter.shape)) {
      problems.push({ kind: "shape", name: found, expected: parameter.shape, found: entry.shape });
    } else if (!loadable.includes(entry.dtype)) {
      problems.push({ kind: "dtype", name: found, expected: loadable.join(", "), found: entry.dtype });
    } else {
      stored.set(parameter, found);
    }
  }
  for (const name of source.names()) {
    if (used.has(name) || options.ignored?.some((pattern) => matches(pattern, name))) continue;
    problems.push({ kind: "unexpected", name, found: source.entry(name)?.shape ?? [] });
  }
  if (problems.length > 0) throw new StateError(source.description, problems);
  return stored;
}

/**
 * Fills a module's parameters from a checkpoint, cast to the dtype asked for. Nothing is loaded
 * unless everything fits. Tensors stored in the wanted dtype are used where they lie, uncopied.
 *
 * @throws {StateError} with every disagreement.
 */
export function loadParameters(module: ModuleNode, source: TensorSource, options: LoadOptions): void {
  const stored = checkParameters(module, source, options);
  const kept = new Set(options.keepInFloat32);
  for (const [name, parameter] of module.namedParameters()) {
    const storedName = stored.get(parameter);
    if (storedName === undefined) continue;
    const inFloat32 = name.split(".").some((component) => kept.has(component));
    const dtype = parameter.options.dtype ?? (inFloat32 ? "float32" : options.dtype);
    parameter.set(scope(() => source.tensor(storedName).to(dtype)));
  }
}

function matches(pattern: string | RegExp, name: string): boolean {
  return typeof pattern === "string" ? pattern === name : pattern.test(name);
}

function sameShape(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, dim) => size === right[dim]);
}
