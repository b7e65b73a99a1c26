import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { HubError } from "./errors.ts";
import { findInRoot, type ModelRoot, unreadable } from "./file-system.ts";
import { readShardIndex } from "./shard-index.ts";

/** The safetensors files of one part of a model. */
export interface ComponentWeights {
  /** The folder, for messages. */
  readonly folder: string;
  /** The variant that the files are of: `fp16` of `model.fp16.safetensors`. */
  readonly variant: string | undefined;
  /** One file, or the shards in the order of their names. */
  readonly files: readonly string[];
  /** What the index of the shards says; undefined for one file. */
  readonly index: ShardedWeights | undefined;
}

/** What the index of a sharded checkpoint says. */
export interface ShardedWeights {
  /** The index file. */
  readonly file: string;
  /** The shard, one of the files, that has each tensor. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** Bytes of all tensors, where it is told. */
  readonly totalBytes: number | undefined;
}

/** How a library names weights, and whether an index wins over a single file where both are. */
interface Naming {
  readonly stem: string;
  readonly indexFirst: boolean;
}

/** After diffusers `models/modeling_utils.py` and transformers `modeling_utils.py`. */
const namings: Readonly<Record<string, Naming>> = {
  diffusers: { stem: "diffusion_pytorch_model", indexFirst: true },
  transformers: { stem: "model", indexFirst: false },
};

const pickle = /\.(bin|pt|pth|ckpt|pkl|pickle)$/i;

/**
 * Finds the weights in `folder` of `root`, in files of `variant`, or of none where it is undefined.
 * Returns undefined where there are none of that variant.
 *
 * @throws HubError `outsideModel`, `shardIndex`, `missingFile` with every missing shard
 */
export async function findWeights(
  root: ModelRoot,
  folder: string,
  library: string,
  variant: string | undefined,
): Promise<ComponentWeights | undefined> {
  const { stem, indexFirst } = namingOf(root, folder, library);
  const suffix = variant === undefined ? "" : `.${variant}`;
  const single = async (): Promise<ComponentWeights | undefined> => {
    const file = await findInRoot(root, `${folder}/${stem}${suffix}.safetensors`);
    if (file === undefined) return undefined;
    return { folder: join(root.path, folder), variant, files: [file], index: undefined };
  };
  const sharded = async (): Promise<ComponentWeights | undefined> => {
    const file = await findInRoot(root, `${folder}/${stem}.safetensors.index${suffix}.json`);
    if (file === undefined) return undefined;
    return { folder: join(root.path, folder), variant, ...(await readShardIndex(root, folder, file)) };
  };
  return indexFirst ? ((await sharded()) ?? (await single())) : ((await single()) ?? (await sharded()));
}

/**
 * The error of a folder in which no weights of the wanted variant are: it tells pickles, which are
 * refused, and weights of other variants from no weights at all.
 */
export async function noWeights(
  root: ModelRoot,
  folder: string,
  library: string,
  variant: string | undefined,
): Promise<HubError> {
  const path = join(root.path, folder);
  const { stem } = namingOf(root, folder, library);
  const suffix = variant === undefined ? "" : `.${variant}`;
  const expected = `${stem}${suffix}.safetensors or ${stem}.safetensors.index${suffix}.json`;
  let names: readonly string[];
  try {
    names = (await readdir(path)).toSorted();
  } catch (cause) {
    return unreadable(path, cause);
  }
  const others = names.filter((name) => name.includes(".safetensors"));
  if (others.length > 0) {
    const remedy = "Ask for the variant in the name, if it is one";
    const problems = [{ subject: "", expected, found: others.join(", ") }];
    return new HubError({ code: "missingWeights", path, problems, remedy });
  }
  const pickles = names.filter((name) => pickle.test(name));
  if (pickles.length > 0) {
    const found = `only ${pickles.join(", ")}: pickles, which run code when loaded`;
    const remedy = "Convert them to safetensors, or download a revision that has safetensors";
    return new HubError({ code: "pickle", path, problems: [{ subject: "", expected, found }], remedy });
  }
  const problems = [{ subject: "", expected, found: "no weights" }];
  return new HubError({ code: "missingWeights", path, problems, remedy: "Download the model again" });
}

function namingOf(root: ModelRoot, folder: string, library: string): Naming {
  const naming = Object.hasOwn(namings, library) ? namings[library] : undefined;
  if (naming) return naming;
  throw new HubError({
    code: "modelIndex",
    path: join(root.path, "model_index.json"),
    problems: [
      { subject: folder, expected: `a part of ${Object.keys(namings).join(" or ")}`, found: library },
    ],
  });
}
