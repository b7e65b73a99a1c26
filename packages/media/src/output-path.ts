import { access, constants, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import { OutputError } from "./errors.ts";
import { isMissing, outputError } from "./output-system-error.ts";

/** What a path asks for, by its extension: a video, a GIF, a still, or a directory of stills. */
export type OutputKind = "mp4" | "gif" | "png" | "directory";

const kindByExtension: ReadonlyMap<string, OutputKind> = new Map([
  [".mp4", "mp4"],
  [".gif", "gif"],
  [".png", "png"],
]);

/** Names of frames in a directory of stills. */
const FRAME_NAME = /^\d{6,}\.png$/;

/**
 * What an output path asks for. A path without an extension, one that ends in a separator, or an
 * existing directory is a directory of stills.
 *
 * @throws {OutputError} `unknownExtension`, with those that are known.
 */
export async function outputKind(path: string): Promise<OutputKind> {
  const extension = extname(path).toLowerCase();
  const known = kindByExtension.get(extension);
  if (known !== undefined && !/[/\\]$/.test(path)) return known;
  if (extension === "" || /[/\\]$/.test(path) || (await kindOfEntry(path)) === "directory")
    return "directory";
  throw new OutputError("unknownExtension", {
    path,
    problem: `"${extension}" is no format that is written`,
    remedy: `use ${[...kindByExtension.keys()].join(", ")}, or a directory's name without a dot for frames`,
  });
}

/**
 * Makes sure, before heavy work, that an output can be written: the extension is known, the folder is
 * there and writable, and nothing stands in the way.
 *
 * @returns what the path asks for.
 * @throws {OutputError} with what to do about it.
 */
export async function checkOutputPath(path: string): Promise<OutputKind> {
  const kind = await outputKind(path);
  await (kind === "directory" ? checkDirectoryTarget(path) : checkFileTarget(path));
  return kind;
}

/** Makes sure that a file can be written at `path`. */
export async function checkFileTarget(path: string): Promise<void> {
  await checkFolder(path);
  const entry = await kindOfEntry(path);
  if (entry === "directory") {
    const remedy = "give a file's name, or remove the directory";
    throw new OutputError("isDirectory", { path, problem: "there is a directory of that name", remedy });
  }
  if (entry === "other") {
    const problem = "there is a device, pipe or socket of that name";
    throw new OutputError("notAFile", { path, problem, remedy: "give a file's name" });
  }
  if (entry === "file") await checkWritable(path, path);
}

/** Makes sure that a directory of frames can be put at `path`. */
export async function checkDirectoryTarget(path: string): Promise<void> {
  await checkFolder(path);
  const entry = await kindOfEntry(path);
  if (entry === "none") return;
  if (entry !== "directory") {
    const remedy = "give another name, or remove the file";
    throw new OutputError("notAFolder", { path, problem: "there is a file of that name", remedy });
  }
  const others = (await readNames(path)).filter((name) => !FRAME_NAME.test(name));
  if (others.length === 0) return;
  throw new OutputError("directoryInUse", {
    path,
    problem: `the directory holds ${others.length} other things than frames (${others[0]})`,
    remedy: "give the name of a directory that is new, empty or only holds frames",
  });
}

async function checkFolder(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  const entry = await kindOfEntry(folder);
  if (entry === "none") {
    const remedy = `make it first (mkdir -p ${folder})`;
    throw new OutputError("missingFolder", { path, problem: `there is no folder ${folder}`, remedy });
  }
  if (entry !== "directory") {
    const problem = `${folder} is no folder`;
    throw new OutputError("notAFolder", { path, problem, remedy: "give a path within a folder" });
  }
  await checkWritable(folder, path);
}

async function checkWritable(what: string, path: string): Promise<void> {
  try {
    await access(what, constants.W_OK);
  } catch (cause) {
    const remedy = "change its permissions or give another path";
    throw new OutputError("notWritable", {
      path,
      problem: `writing to ${what} is not allowed`,
      remedy,
      cause,
    });
  }
}

/** What is at a path, links followed. */
export async function kindOfEntry(path: string): Promise<"none" | "file" | "directory" | "other"> {
  try {
    const status = await stat(path);
    return status.isFile() ? "file" : status.isDirectory() ? "directory" : "other";
  } catch (error) {
    if (isMissing(error)) return "none";
    throw outputError(error, path);
  }
}

async function readNames(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const name of new Bun.Glob("*").scan({ cwd: path, dot: true, onlyFiles: false }))
    names.push(name);
  return names;
}
