import type { StateProblem, StoredWeight, TensorEntry, TensorSource } from "@wan-ts/nn";
import { type Device, type DType, dtypes, isFloat, scope, Tensor } from "@wan-ts/tensor";
import { z } from "zod";
import { type NestedScales, type Nf4Settings, Nf4Weight } from "./nf4-weight.ts";
import { defaultScaleLookup } from "./row-scales.ts";

const stateSuffix = ".quant_state.bitsandbytes__";

/** The JSON that lies beside a weight's codes. */
const stateSchema = z.object({
  quant_type: z.literal("nf4"),
  blocksize: z.literal([32, 64, 128, 256, 512, 1024, 2048, 4096]),
  dtype: z.enum(dtypes.filter(isFloat)),
  shape: z.array(z.int().nonnegative()),
  nested_blocksize: z.int().positive().optional(),
  nested_offset: z.number().optional(),
});

type State = z.output<typeof stateSchema>;

/** A stored tensor that makes up a weight, as it must be. */
interface Part {
  readonly suffix: string;
  readonly dtype: DType;
  readonly count: number;
}

/**
 * The weight `name` of `shape` in bitsandbytes' 4-bit form: packed codes under `name` itself, scales
 * and the rest under names that begin with it. Undefined where it is stored plain. Products are
 * computed in `computeDtype`, by default the model's dtype; scales are looked up as `scaleLookup` says, by
 * default as on `device`, by default the one that the weight is loaded on.
 */
export function findStoredNf4(
  name: string,
  shape: readonly number[],
  source: TensorSource,
  settings: Pick<Nf4Settings, "computeDtype" | "scaleLookup"> & { readonly device?: Device | undefined },
): StoredWeight | undefined {
  const description = [`${name}${stateSuffix}nf4`, `${name}${stateSuffix}fp4`].find((key) =>
    source.entry(key),
  );
  if (description === undefined) return undefined;
  const state = readState(description, shape, source);
  if ("problem" in state) return refused([name, ...companions(name, source)], [state.problem]);

  const { nested_blocksize: nestedBlockSize = 0, nested_offset: nestedOffset = Number.NaN } = state;
  const nested = source.entry(`${name}.nested_absmax`) !== undefined;
  if (nested && (nestedBlockSize === 0 || Number.isNaN(nestedOffset))) {
    const expected = "a description with nested_blocksize and nested_offset, as there is nested_absmax";
    const problem = { kind: "value", name: description, expected, found: "one without" } as const;
    return refused([name, ...companions(name, source)], [problem]);
  }

  const count = shape.reduce((product, size) => product * size, 1);
  const blocks = Math.ceil(count / state.blocksize);
  const parts: Part[] = [
    { suffix: "", dtype: "uint8", count: Math.ceil(count / 2) },
    { suffix: ".absmax", dtype: nested ? "uint8" : "float32", count: blocks },
    { suffix: ".quant_map", dtype: "float32", count: 16 },
  ];
  if (nested) {
    parts.push({ suffix: ".nested_absmax", dtype: "float32", count: Math.ceil(blocks / nestedBlockSize) });
    parts.push({ suffix: ".nested_quant_map", dtype: "float32", count: 256 });
  }
  const names = [description, ...parts.map(({ suffix }) => name + suffix)];
  const problems = parts.flatMap((part) => compare(name + part.suffix, part, source));
  const read = (suffix: string): Tensor => source.tensor(name + suffix);
  const nestedScales = (): NestedScales => {
    const codes = read(".absmax");
    return {
      codes,
      absmax: read(".nested_absmax"),
      table: read(".nested_quant_map"),
      offset: Tensor.from([nestedOffset], [], "float32", codes.device),
      blockSize: nestedBlockSize,
    };
  };
  return {
    names,
    problems,
    load: (dtype) =>
      scope(() => {
        const packed = read("");
        return new Nf4Weight({
          shape,
          packed,
          scales: nested ? nestedScales() : read(".absmax"),
          blockSize: state.blocksize,
          originalDType: state.dtype,
          dtype: settings.computeDtype ?? dtype,
          scaleLookup: settings.scaleLookup ?? defaultScaleLookup(settings.device ?? packed.device),
        });
      }),
  };
}

function refused(names: readonly string[], problems: readonly StateProblem[]): StoredWeight {
  return {
    names,
    problems,
    load: () => {
      throw new TypeError(`${names[0]} can't be loaded`);
    },
  };
}

/** The stored names that begin with a weight's, so that a refused weight is told once. */
function companions(name: string, source: TensorSource): string[] {
  return [...source.names()].filter((other) => other.startsWith(`${name}.`));
}

function readState(
  name: string,
  shape: readonly number[],
  source: TensorSource,
): State | { readonly problem: StateProblem } {
  const entry = source.entry(name) as TensorEntry;
  if (entry.dtype !== "uint8") {
    return { problem: { kind: "dtype", name, expected: "uint8", found: entry.dtype } };
  }
  const text = new TextDecoder().decode(source.bytes(name));
  const problem = (expected: string): { readonly problem: StateProblem } => ({
    problem: { kind: "value", name, expected, found: text },
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return problem("JSON");
  }
  const state = stateSchema.safeParse(json);
  if (!state.success) {
    const at = state.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
    return problem(`a description of nf4 codes (${at.join("; ")})`);
  }
  const stored = state.data.shape;
  const fits = stored.length === shape.length && stored.every((size, dim) => size === shape[dim]);
  return fits ? state.data : problem(`a description of shape [${shape}]`);
}

function compare(name: string, { dtype, count }: Part, source: TensorSource): StateProblem[] {
  const entry = source.entry(name);
  if (!entry) return [{ kind: "missing", name, expected: [count] }];
  if (entry.dtype !== dtype) return [{ kind: "dtype", name, expected: dtype, found: entry.dtype }];
  const found = entry.shape.reduce((product, size) => product * size, 1);
  return found === count ? [] : [{ kind: "shape", name, expected: [count], found: entry.shape }];
}
