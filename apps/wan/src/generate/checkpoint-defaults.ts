import { readFile, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, relative, sep } from "node:path";
import { checkConfig, namedByFile } from "../config/check.ts";
import { type Config, checkpointDefaultsSchema } from "../config/schema.ts";
import { InputError } from "../input-error.ts";

/** Far above any file of defaults; keeps a wrong one from being read whole. */
const largestFile = 1 << 20;

/**
 * Defaults that lie beside a checkpoint, in `defaults.json`: what to show and in which size, and
 * nothing about this machine. Its images are files of the checkpoint's folder. Empty where there is
 * no such file.
 *
 * @throws {InputError}
 */
export async function readCheckpointDefaults(model: string): Promise<Config> {
  const file = join(model, "defaults.json");
  const entry = await stat(file).catch(() => undefined);
  if (entry === undefined) return {};
  if (!entry.isFile() || entry.size > largestFile) {
    throw new InputError(`${file} must be a file of at most ${largestFile} bytes`);
  }
  const config = checkConfig(await readJson(file), namedByFile(file), checkpointDefaultsSchema);
  const inside = async (key: "image" | "lastImage"): Promise<Config> => {
    const image = config[key];
    return image === undefined ? {} : { [key]: await pathInside(model, image, `"${key}" in ${file}`) };
  };
  return { ...config, ...(await inside("image")), ...(await inside("lastImage")) };
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8");
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (cause) {
    throw new InputError(`${file} is not JSON: ${String(cause)}`, { cause });
  }
}

/** The path of a file of a model; links are followed first, so that none leads out of its folder. */
async function pathInside(model: string, name: string, subject: string): Promise<string> {
  const path = join(model, name);
  const way = relative(await realpath(model), await realpath(path).catch(() => path));
  if (isAbsolute(name) || way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way)) {
    throw new InputError(`${subject} must be a file in ${model}, but is ${JSON.stringify(name)}`);
  }
  return path;
}
