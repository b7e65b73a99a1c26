import type { ComponentWeights } from "./component-weights.ts";
import { HubError, type HubProblem } from "./errors.ts";
import { readSafetensorsHeader } from "./safetensors/read-header.ts";
import { tensorDTypeName } from "./safetensors/stored-dtype.ts";

/** What a checkpoint says of a tensor. */
export interface WeightEntry {
  /** As tensors call it (`bfloat16`); as safetensors calls it (`F64`) where tensors don't have it. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** The file it lies in. */
  readonly file: string;
}

/** The tensors of one part of a model, by name, without their values. */
export interface WeightListing {
  /** The folder, for messages. */
  readonly description: string;
  names(): Iterable<string>;
  entry(name: string): WeightEntry | undefined;
}

/** The tensors of one file. */
export interface FileEntries {
  readonly file: string;
  readonly entries: Iterable<readonly [name: string, entry: WeightEntry]>;
}

/**
 * Reads names, shapes and dtypes of a part's tensors, without their values and without the native
 * addon: enough to check a model against its checkpoint before anything heavy starts.
 *
 * @throws SafetensorsError where a file isn't right, HubError as {@link joinEntries} does
 */
export async function readWeightEntries(weights: ComponentWeights): Promise<WeightListing> {
  const files: FileEntries[] = [];
  for (const file of weights.files) {
    const { tensors } = await readSafetensorsHeader(file);
    const entries = [...tensors].map(([name, { dtype, shape, bytes }]) => {
      return [name, { dtype: tensorDTypeName(dtype), shape, bytes, file }] as const;
    });
    files.push({ file, entries });
  }
  const entries = joinEntries(weights, files);
  return {
    description: weights.folder,
    names: () => entries.keys(),
    entry: (name) => entries.get(name),
  };
}

/**
 * Joins the tensors of a part's files, and compares them with the index of its shards.
 *
 * @throws HubError `duplicateTensor` where two files have tensors of one name, `shardIndex` where
 * the index lists a tensor that its shard hasn't, or another total, or leaves a tensor out
 */
export function joinEntries(
  weights: ComponentWeights,
  files: readonly FileEntries[],
): ReadonlyMap<string, WeightEntry> {
  const joined = new Map<string, WeightEntry>();
  const duplicates: HubProblem[] = [];
  for (const { file, entries } of files) {
    for (const [name, entry] of entries) {
      const other = joined.get(name);
      if (other) {
        const found = `one in ${other.file} and one in ${file}`;
        duplicates.push({ subject: name, expected: "one tensor of this name", found });
      }
      joined.set(name, entry);
    }
  }
  if (duplicates.length > 0) {
    throw new HubError({ code: "duplicateTensor", path: weights.folder, problems: duplicates });
  }
  const problems = weights.index ? compareWithIndex(weights.index, joined) : [];
  if (weights.index && problems.length > 0) {
    const remedy = "Download the model again";
    throw new HubError({ code: "shardIndex", path: weights.index.file, problems, remedy });
  }
  return joined;
}

function compareWithIndex(
  { shardOf, totalBytes }: NonNullable<ComponentWeights["index"]>,
  joined: ReadonlyMap<string, WeightEntry>,
): HubProblem[] {
  const problems: HubProblem[] = [];
  for (const [name, shard] of shardOf) {
    const file = joined.get(name)?.file;
    if (file !== shard) {
      problems.push({
        subject: name,
        expected: `a tensor in ${shard}`,
        found: file ? `it in ${file}` : "none",
      });
    }
  }
  for (const [name, { file }] of joined) {
    if (!shardOf.has(name))
      problems.push({ subject: name, expected: "in weight_map", found: `only in ${file}` });
  }
  const sum = joined.values().reduce((bytes, entry) => bytes + entry.bytes, 0);
  if (totalBytes !== undefined && sum !== totalBytes) {
    problems.push({
      subject: "metadata.total_size",
      expected: `${sum}, as the shards have`,
      found: `${totalBytes}`,
    });
  }
  return problems;
}
