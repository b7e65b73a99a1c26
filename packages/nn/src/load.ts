import { type DType, dtypeSize, scope, type Tensor } from "@wan-ts/tensor";
import type { ModuleNode } from "./module.ts";
import { ownPart, type Parameter, rowsOf } from "./parameter.ts";
import type { QuantizedWeight, StoredWeight, WeightQuantization } from "./quantization.ts";

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
  /** The stored bytes of a tensor, copied at once: for descriptions of a few bytes. */
  bytes(name: string): Uint8Array;
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
  /** How weights of linear layers are stored or held quantized; without, none is. */
  readonly quantization?: WeightQuantization | undefined;
  /**
   * Parts of a name, as {@link LoadOptions.keepInFloat32}, that keep a weight which is stored plain
   * from being quantized. What is kept in float32 isn't either.
   */
  readonly neverQuantized?: readonly string[];
  /**
   * Whether a parameter that is stored in no more bytes than its dtype takes is held as it is stored:
   * whoever computes with it casts it to its {@link parameterDType}. By default none is.
   */
  readonly castLater?: ((parameter: Parameter) => boolean) | undefined;
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
  | { readonly kind: "dtype"; readonly name: string; readonly expected: string; readonly found: string }
  | { readonly kind: "value"; readonly name: string; readonly expected: string; readonly found: string };

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
    case "value":
      return `${problem.name} is ${problem.found}, expected ${problem.expected}`;
  }
}

const loadable: readonly string[] = ["float32", "bfloat16", "float16"];

/**
 * Compares names, shapes and dtypes of a checkpoint with a module's parameters, reading no values but
 * the descriptions of quantized weights. Returns for each parameter that is present its stored name,
 * or the stored quantized weight.
 *
 * @throws {StateError} with every disagreement.
 */
export function checkParameters(
  module: ModuleNode,
  source: TensorSource,
  options: Pick<LoadOptions, "aliases" | "ignored" | "quantization"> = {},
): Map<Parameter, string | StoredWeight> {
  const problems: StateProblem[] = [];
  const stored = new Map<Parameter, string | StoredWeight>();
  const used = new Set<string>();
  for (const [name, parameter] of module.namedParameters()) {
    const candidates = [name, ...(options.aliases?.[name] ?? [])];
    const found = candidates.find((candidate) => source.entry(candidate));
    for (const candidate of candidates) used.add(candidate);
    if (found === undefined) {
      if (!parameter.options.optional) problems.push({ kind: "missing", name, expected: parameter.shape });
      continue;
    }
    const quantized = parameter.options.quantizable
      ? options.quantization?.stored(found, parameter.shape, source)
      : undefined;
    if (quantized) {
      for (const part of quantized.names) used.add(part);
      problems.push(...quantized.problems);
      stored.set(parameter, quantized);
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
 * Fills a module's parameters from a checkpoint, cast to the dtype asked for, then quantized where
 * that is asked for. Nothing is loaded unless everything fits. Tensors stored in the wanted form are
 * used where they lie, uncopied; of a weight that is quantized on load nothing else is kept, and of a
 * narrowed parameter nothing but its part.
 *
 * @throws {StateError} with every disagreement.
 */
export function loadParameters(module: ModuleNode, source: TensorSource, options: LoadOptions): void {
  const stored = checkParameters(module, source, options);
  for (const [name, parameter] of module.namedParameters()) {
    const place = stored.get(parameter);
    if (place === undefined) continue;
    parameter.set(
      typeof place === "string"
        ? loadPlain(name, parameter, place, source, options)
        : narrowed(place.load(options.dtype), parameter),
    );
  }
}

/** The dtype that the parameter `name` is computed in, where it isn't held quantized. */
export function parameterDType(
  name: string,
  parameter: Parameter,
  { dtype, keepInFloat32 }: Pick<LoadOptions, "dtype" | "keepInFloat32">,
): DType {
  return parameter.options.dtype ?? (hasComponent(name, keepInFloat32) ? "float32" : dtype);
}

function loadPlain(
  name: string,
  parameter: Parameter,
  storedName: string,
  source: TensorSource,
  options: LoadOptions,
): Tensor | QuantizedWeight {
  const dtype = parameterDType(name, parameter, options);
  const staysPlain =
    !parameter.options.quantizable ||
    hasComponent(name, options.keepInFloat32) ||
    hasComponent(name, options.neverQuantized);
  return scope(() => {
    const tensor = source.tensor(storedName);
    // The whole: scales may be shared by rows of several parts.
    const quantized = staysPlain ? undefined : options.quantization?.quantize(name, tensor.to(dtype));
    if (quantized) return narrowed(quantized, parameter);
    const castsLater = options.castLater?.(parameter) && dtypeSize(tensor.dtype) <= dtypeSize(dtype);
    const held = castsLater ? tensor.dtype : dtype;
    return parameter.part ? ownPart(tensor, parameter.part, held) : tensor.to(held);
  });
}

/** The rows of a weight that a parameter is narrowed to, the rest disposed. */
function narrowed(weight: QuantizedWeight, { part }: Parameter): QuantizedWeight {
  if (!part) return weight;
  using whole = weight;
  return rowsOf(whole, part);
}

function hasComponent(name: string, components: readonly string[] = []): boolean {
  return name.split(".").some((component) => components.includes(component));
}

function matches(pattern: string | RegExp, name: string): boolean {
  return typeof pattern === "string" ? pattern === name : pattern.test(name);
}

function sameShape(left: readonly number[], right: readonly number[]): boolean {
  return left.length === right.length && left.every((size, dim) => size === right[dim]);
}
