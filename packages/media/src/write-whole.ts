import { randomUUID } from "node:crypto";
import { lstat, mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { checkDirectoryTarget, checkFileTarget, kindOfEntry } from "./output-path.ts";
import { isMissing, outputError } from "./output-system-error.ts";

/** What a file is written from: its bytes, or pieces of them, one after the other. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Writes a file whole or not at all: under a temporary name in the same folder, flushed to the disk,
 * then renamed. On failure the temporary file is removed, and a file that was there before stays. A
 * symbolic link is followed, not replaced.
 *
 * @throws {OutputError}, and what the pieces throw
 */
export async function writeFileWhole(path: string, data: FileContent): Promise<void> {
  await checkFileTarget(path);
  let temporary: string | null = null;
  try {
    const target = await followedLink(path);
    temporary = temporaryName(target);
    await writeAndFlush(temporary, data);
    await rename(temporary, target);
    await flushFolder(dirname(target));
  } catch (error) {
    if (temporary !== null) await rm(temporary, { force: true });
    throw outputError(error, path);
  }
}

/**
 * Writes a directory whole or not at all: `fill` puts the files into a temporary directory beside it,
 * which is then renamed. A directory of frames that was there before is replaced, and stays if
 * anything fails.
 *
 * @param fill gets a function that writes one file, flushed, by its name in the directory.
 * @throws {OutputError} and what `fill` throws.
 */
export async function writeDirectoryWhole(
  path: string,
  fill: (write: (name: string, data: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  await checkDirectoryTarget(path);
  const target = resolve(
    await followedLink(path).catch((error: unknown) => Promise.reject(outputError(error, path))),
  );
  const temporary = temporaryName(target);
  const replaced = temporaryName(target, replacedEnding);
  let moved = false;
  try {
    await guarded(path, () => mkdir(temporary));
    await fill((name, data) => guarded(path, () => writeAndFlush(join(temporary, name), data)));
    await guarded(path, async () => {
      await flushFolder(temporary);
      if ((await kindOfEntry(target)) === "directory") {
        await rename(target, replaced);
        moved = true;
      }
      await rename(temporary, target);
      moved = false;
      await flushFolder(dirname(target));
    });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (moved) await rename(replaced, target);
    throw error;
  }
  await rm(replaced, { recursive: true, force: true });
}

async function guarded(path: string, operation: () => Promise<unknown>): Promise<void> {
  try {
    await operation();
  } catch (error) {
    throw outputError(error, path);
  }
}

/**
 * Removes what process `pid` left beside `path` when it was killed while it wrote there, and puts back
 * the directory that it had moved aside. Call it only once that process is gone.
 *
 * @throws {OutputError}
 */
export async function removeTemporaries(path: string, pid: number): Promise<void> {
  await guarded(path, async () => {
    const target = resolve(await followedLink(path));
    const folder = dirname(target);
    const names = await readdir(folder).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const start = temporaryStart(target, pid);
    for (const name of names.filter((each) => each.startsWith(start))) {
      const left = join(folder, name);
      const wanted = name.endsWith(replacedEnding) && (await kindOfEntry(target)) === "none";
      if (wanted) await rename(left, target);
      else if (/\.(part|partial|replaced)$/.test(name)) await rm(left, { recursive: true, force: true });
    }
  });
}

const replacedEnding = ".replaced";

/** As the addon names temporary safetensors files too. */
function temporaryStart(target: string, pid: number): string {
  return `.${basename(target)}.${pid}-`;
}

function temporaryName(target: string, ending = ".part"): string {
  return join(dirname(target), `${temporaryStart(target, process.pid)}${randomUUID()}${ending}`);
}

async function followedLink(path: string): Promise<string> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await realpath(path) : path;
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

async function writeAndFlush(path: string, data: FileContent): Promise<void> {
  const file = await open(path, "wx");
  try {
    if (Symbol.asyncIterator in data) for await (const piece of data) await file.writeFile(piece);
    else await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a rename last: a folder is flushed like a file, except on Windows, which has no such call. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
