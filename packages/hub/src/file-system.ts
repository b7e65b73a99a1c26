import { lstat, readFile, realpath, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, sep } from "node:path";
import { HubError } from "./errors.ts";
import { isNestedBeyond } from "./json-levels.ts";

/** A model directory and where the files of it may really lie. */
export interface ModelRoot {
  /** As it was named. */
  readonly path: string;
  /** The real directories that links inside it may lead to. */
  readonly allowed: readonly string[];
}

/**
 * The directory at `path`. Files of it may be links to others inside it and, where it is a snapshot
 * of the Hugging Face cache, to the `blobs` of the same repository, where that cache keeps contents.
 *
 * @throws HubError `notFound`, `notADirectory`
 */
export async function openRoot(path: string): Promise<ModelRoot> {
  const kind = await kindOf(path);
  if (kind === "absent") {
    throw new HubError({
      code: "notFound",
      path,
      problems: [{ subject: "", expected: "a model directory", found: "nothing of this name" }],
    });
  }
  if (kind !== "directory") {
    throw new HubError({
      code: "notADirectory",
      path,
      problems: [{ subject: "", expected: "a model directory", found: "a file" }],
      remedy: "Name the directory that has model_index.json in it",
    });
  }
  const real = await realpath(path);
  const snapshots = dirname(real);
  const repository = dirname(snapshots);
  const isSnapshot = basename(snapshots) === "snapshots" && basename(repository).startsWith("models--");
  const blobs = join(repository, "blobs");
  const hasBlobs = isSnapshot && (await kindOf(blobs)) === "directory";
  return { path, allowed: hasBlobs ? [real, await realpath(blobs)] : [real] };
}

/**
 * The path of the file or directory called `name` (slashes between folders) in `root`, or undefined
 * where there is none.
 *
 * @throws HubError `outsideModel` where the name or a link leads out of the directory, `missingFile`
 * where a link leads to nothing.
 */
export async function findInRoot(root: ModelRoot, name: string): Promise<string | undefined> {
  const path = join(root.path, name);
  let real: string;
  try {
    real = await realpath(path);
  } catch (cause) {
    if (!isAbsence(cause)) throw unreadable(path, cause);
    if (!(await isLink(path))) return undefined;
    throw new HubError({
      code: "missingFile",
      path,
      problems: [{ subject: "", expected: "a link to a file", found: "a link to nothing" }],
      remedy: "Download the model again",
      cause,
    });
  }
  if (root.allowed.some((directory) => contains(directory, real))) return path;
  throw new HubError({
    code: "outsideModel",
    path,
    problems: [{ subject: "", expected: "a file inside the model directory", found: `a way to ${real}` }],
    remedy: "Copy the file into the directory",
  });
}

/** What stands at `path`, links followed. */
export async function kindOf(path: string): Promise<"absent" | "file" | "directory" | "other"> {
  try {
    const stats = await stat(path);
    if (stats.isDirectory()) return "directory";
    return stats.isFile() ? "file" : "other";
  } catch (cause) {
    if (isAbsence(cause)) return "absent";
    throw unreadable(path, cause);
  }
}

/**
 * The text of a file of at most `maxBytes`.
 *
 * @throws HubError `fileTooLarge`, `unreadable`
 */
export async function readTextFile(path: string, maxBytes: number): Promise<string> {
  try {
    const stats = await stat(path);
    if (!stats.isFile()) throw new Error("not a regular file");
    if (stats.size > maxBytes) {
      throw new HubError({
        code: "fileTooLarge",
        path,
        problems: [{ subject: "", expected: `at most ${maxBytes} bytes`, found: `${stats.size}` }],
      });
    }
    return await readFile(path, "utf8");
  } catch (cause) {
    if (HubError.isInstance(cause)) throw cause;
    throw unreadable(path, cause);
  }
}

/** The files of models have four or five levels. */
const maxJsonLevels = 64;

/**
 * The content of a JSON file of at most `maxBytes`, and of so few levels that code which calls itself
 * for each of them, as `JSON.stringify` does, has stack enough.
 *
 * @throws HubError `invalidJson`, and those of {@link readTextFile}
 */
export async function readJsonFile(path: string, maxBytes: number): Promise<unknown> {
  const text = await readTextFile(path, maxBytes);
  const invalid = (expected: string, found: string, cause?: unknown): HubError =>
    new HubError({ code: "invalidJson", path, problems: [{ subject: "", expected, found }], cause });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid("JSON", cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (isNestedBeyond(json, maxJsonLevels)) throw invalid(`JSON of at most ${maxJsonLevels} levels`, "more");
  return json;
}

/** The error of a file that the system doesn't let us read. */
export function unreadable(path: string, cause: unknown): HubError {
  const found = cause instanceof Error ? cause.message : String(cause);
  return new HubError({
    code: "unreadable",
    path,
    problems: [{ subject: "", expected: "a readable file", found }],
    cause,
  });
}

function contains(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way === "" || !(way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way));
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (cause) {
    if (isAbsence(cause)) return false;
    throw unreadable(path, cause);
  }
}

/** Whether the system says that there is nothing at a path. */
function isAbsence(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR");
}
