import { join } from "node:path";
import { z } from "zod";
import type { ComponentWeights } from "./component-weights.ts";
import { HubError, type HubProblem } from "./errors.ts";
import { findInRoot, type ModelRoot, readJsonFile } from "./file-system.ts";

/** The 14B transformer's index has about 100 kB. */
const maxIndexBytes = 16 * 1024 * 1024;
const maxShards = 10_000;

/** A name without a folder, that doesn't start with a dot. */
const plainName = /^[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors$/;

const indexSchema = z.object({
  metadata: z.object({ total_size: z.number().nonnegative().optional() }).optional(),
  weight_map: z.record(z.string(), z.string()),
});

/**
 * Reads the index of a sharded checkpoint, `file` in `folder` of `root`, and finds its shards.
 *
 * @throws HubError `shardIndex` where it isn't one or names files outside the folder, `missingFile`
 * with every missing shard, `outsideModel`, `invalidJson`, `fileTooLarge`
 */
export async function readShardIndex(
  root: ModelRoot,
  folder: string,
  file: string,
): Promise<Pick<ComponentWeights, "files" | "index">> {
  const parsed = indexSchema.safeParse(await readJsonFile(file, maxIndexBytes));
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => ({
      subject: issue.path.join("."),
      expected: "weight_map from tensor to file, and metadata.total_size in bytes if there is one",
      found: issue.message,
    }));
    throw new HubError({ code: "shardIndex", path: file, problems });
  }
  const { weight_map: weightMap, metadata } = parsed.data;
  const names = [...new Set(Object.values(weightMap))].toSorted();
  if (names.length === 0 || names.length > maxShards) {
    const problems = [
      { subject: "weight_map", expected: `1 to ${maxShards} files`, found: `${names.length}` },
    ];
    throw new HubError({ code: "shardIndex", path: file, problems });
  }
  const misnamed = names.filter((name) => !plainName.test(name));
  if (misnamed.length > 0) {
    const problems = misnamed.map((name) => ({
      subject: "weight_map",
      expected: "names of safetensors files in the same folder",
      found: JSON.stringify(name),
    }));
    throw new HubError({ code: "shardIndex", path: file, problems });
  }
  const paths = new Map<string, string>();
  const missing: HubProblem[] = [];
  for (const name of names) {
    const path = await findInRoot(root, `${folder}/${name}`);
    if (path === undefined) missing.push({ subject: name, expected: "a shard", found: "no such file" });
    else paths.set(name, path);
  }
  if (missing.length > 0) {
    const remedy = "Download the model again";
    throw new HubError({ code: "missingFile", path: join(root.path, folder), problems: missing, remedy });
  }
  const shardOf = new Map<string, string>();
  for (const [tensor, name] of Object.entries(weightMap)) {
    const path = paths.get(name);
    if (path !== undefined) shardOf.set(tensor, path);
  }
  return { files: [...paths.values()], index: { file, shardOf, totalBytes: metadata?.total_size } };
}
