import { readFileSync } from "node:fs";
import type { TensorEntry, TensorSource } from "@wan-ts/nn";
import { type DType, Tensor } from "@wan-ts/tensor";

const dtypes: Readonly<Record<string, DType>> = {
  F32: "float32",
  BF16: "bfloat16",
  F16: "float16",
  I64: "int64",
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/**
 * A file of `scripts/fixtures/models.py` or `vae.py`, which say what lies in it under which names. Its
 * metadata is one entry, `fixture`: JSON of seed, versions, config and distances.
 */
export interface Fixture {
  /** The model's config.json. */
  readonly config: unknown;
  /** The relative L2 distance of a 16-bit result, by name, from the float32 model's on the same inputs. */
  readonly distances: Readonly<Record<string, number>>;
  has(name: string): boolean;
  /** A tensor by name, of the stored dtype. */
  tensor(name: string): Tensor;
  /** The tensors under `weights/`, as a checkpoint; with others instead of those where named. */
  checkpoint(changes?: Readonly<Record<string, Tensor | undefined>>): TensorSource;
}

/** Reads `fixtures/<name>.safetensors`. */
export function readFixture(name: string): Fixture {
  const file = new URL(`../../fixtures/${name}.safetensors`, import.meta.url);
  const bytes = new Uint8Array(readFileSync(file));
  const headerEnd = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, headerEnd)));
  const { __metadata__: metadata, ...entries } = header as { __metadata__: Record<string, string> } & Record<
    string,
    Entry
  >;
  const facts: Pick<Fixture, "config" | "distances"> = JSON.parse(metadata.fixture!);
  const entryOf = (tensor: string): Entry => {
    const entry = (entries as Record<string, Entry>)[tensor];
    if (!entry) throw new Error(`${name} has no tensor ${tensor}`);
    return entry;
  };
  const tensor = (path: string): Tensor => {
    const { dtype, shape, data_offsets } = entryOf(path);
    const [start, end] = data_offsets;
    return Tensor.fromBytes(bytes.subarray(headerEnd + start, headerEnd + end), shape, dtypes[dtype]!);
  };
  const weights = Object.keys(entries).filter((path) => path.startsWith("weights/"));
  return {
    config: facts.config,
    distances: facts.distances,
    has: (path) => path in entries,
    tensor,
    checkpoint: (changes = {}) => {
      const names = new Set(weights.map((path) => path.slice("weights/".length)));
      for (const [changed, replacement] of Object.entries(changes)) {
        if (replacement) names.add(changed);
        else names.delete(changed);
      }
      return {
        description: `${name}.safetensors`,
        names: () => names,
        entry: (key): TensorEntry | undefined => {
          if (!names.has(key)) return undefined;
          const { dtype, shape } = changes[key] ?? { ...entryOf(`weights/${key}`), dtype: "float32" };
          return { dtype, shape };
        },
        tensor: (key) => changes[key]?.share() ?? tensor(`weights/${key}`),
        bytes: (key) => {
          throw new Error(`${name} has no descriptions, such as ${key}`);
        },
      };
    },
  };
}
