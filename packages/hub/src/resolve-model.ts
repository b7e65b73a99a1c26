import { homedir } from "node:os";
import { join } from "node:path";
import { HubError } from "./errors.ts";
import { kindOf, readTextFile } from "./file-system.ts";

/** Where a model was found. */
export interface ResolvedModel {
  /** The directory that has model_index.json in it. */
  readonly directory: string;
  /** The hub id and commit, where it was found in the cache. */
  readonly hub: { readonly id: string; readonly commit: string } | undefined;
}

/** How {@link resolveModel} looks a model up. */
export interface ResolveModelOptions {
  /** Branch, tag or commit. `main` by default. */
  readonly revision?: string | undefined;
  /** Tells where the Hugging Face cache is. The process's environment by default. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const longestName = 96;
const maxReferenceBytes = 1024;
const commitPattern = /^[0-9a-f]{40}$/;
const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
const idExpected = "an existing directory, or a hub id as Wan-AI/Wan2.1-I2V-14B-480P-Diffusers";

/**
 * Finds a model: an existing directory, or a hub id in the local Hugging Face cache. Nothing is
 * downloaded.
 *
 * @throws HubError `notFound` for a path to nothing, `notADirectory`, `invalidModelId`,
 * `invalidRevision`, `notInCache`
 */
export async function resolveModel(
  directoryOrId: string,
  { revision = "main", environment = process.env }: ResolveModelOptions = {},
): Promise<ResolvedModel> {
  const refuse = (code: "notFound" | "notADirectory" | "invalidModelId", found: string): never => {
    const problems = [{ subject: "", expected: idExpected, found }];
    throw new HubError({ code, path: directoryOrId, problems });
  };
  if (directoryOrId === "" || directoryOrId.includes("\0")) refuse("invalidModelId", "no name");
  const kind = await kindOf(directoryOrId);
  if (kind === "directory") return { directory: directoryOrId, hub: undefined };
  if (kind !== "absent") refuse("notADirectory", "a file");
  if (/^[./~]|\\|\/$/.test(directoryOrId)) refuse("notFound", "nothing of this name");
  if (!isModelId(directoryOrId)) refuse("invalidModelId", "neither");
  return findInCache(directoryOrId, revision, cacheDirectory(environment));
}

/** Where huggingface_hub keeps models. After its `constants.py`. */
export function cacheDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HOME } = environment;
  const cache = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  if (cache) return cache;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(HOME || homedir(), ".cache"), "huggingface");
  return join(home, "hub");
}

/** Whether `id` is `namespace/name` by the hub's rules. After huggingface_hub `utils/_validators.py`. */
function isModelId(id: string): boolean {
  const parts = id.split("/");
  return (
    parts.length === 2 &&
    id.length <= longestName &&
    !id.includes("--") &&
    !id.includes("..") &&
    !id.endsWith(".git") &&
    parts.every((part) => namePattern.test(part) && !/[.-]$/.test(part))
  );
}

async function findInCache(id: string, revision: string, cache: string): Promise<ResolvedModel> {
  if (!revision.split("/").every((part) => namePattern.test(part) && !part.includes(".."))) {
    const problems = [
      { subject: "revision", expected: "a branch, tag or commit", found: JSON.stringify(revision) },
    ];
    throw new HubError({ code: "invalidRevision", path: id, problems });
  }
  const repository = join(cache, `models--${id.replace("/", "--")}`);
  const commit = commitPattern.test(revision) ? revision : await readReference(repository, revision);
  if (commit !== undefined) {
    const directory = join(repository, "snapshots", commit);
    if ((await kindOf(directory)) === "directory") return { directory, hub: { id, commit } };
  }
  const command = revision === "main" ? id : `${id} --revision ${revision}`;
  throw new HubError({
    code: "notInCache",
    path: id,
    problems: [{ subject: "", expected: `revision ${revision} in the cache ${cache}`, found: "none" }],
    remedy: `Get it with: huggingface-cli download ${command}`,
  });
}

/** The commit that a branch or tag was at when it was downloaded. */
async function readReference(repository: string, revision: string): Promise<string | undefined> {
  const file = join(repository, "refs", revision);
  if ((await kindOf(file)) !== "file") return undefined;
  const commit = (await readTextFile(file, maxReferenceBytes)).trim();
  if (commitPattern.test(commit)) return commit;
  const problems = [
    { subject: "", expected: "a commit of 40 hexadecimal digits", found: JSON.stringify(commit) },
  ];
  throw new HubError({ code: "unreadable", path: file, problems, remedy: "Download the model again" });
}
