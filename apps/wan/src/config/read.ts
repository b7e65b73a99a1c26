import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { InputError } from "../input-error.ts";
import { checkConfig, namedByFile } from "./check.ts";
import type { Config } from "./schema.ts";

/** Config files looked for in the working directory, first found first. */
const defaultFiles = ["wan.config.ts", "wan.config.js", "wan.config.json"];
/** Far above any config by hand; keeps a wrong file from being read whole. */
const largestConfig = 1 << 20;

/**
 * The config file named, or the working directory's own, or an empty config. Paths in it are taken
 * from its folder.
 *
 * @throws {InputError} for a file that is missing, not a config, or that says something unknown.
 */
export async function readConfig(file: string | undefined): Promise<Config> {
  const chosen = file ?? defaultFiles.find((candidate) => existsSync(candidate));
  if (chosen === undefined) return {};
  const path = resolve(chosen);
  const entry = await stat(path).catch(() => undefined);
  if (!entry?.isFile()) throw new InputError(`--config: there is no file ${chosen}`);
  if (entry.size > largestConfig)
    throw new InputError(
      `--config: ${chosen} has ${entry.size} bytes, more than a config's ${largestConfig}`,
    );
  const value = path.endsWith(".json") ? await readJson(path, chosen) : await importModule(path, chosen);
  return fromFolder(checkConfig(value, namedByFile(chosen)), dirname(path));
}

async function readJson(path: string, name: string): Promise<unknown> {
  try {
    const value: unknown = JSON.parse(await readFile(path, "utf8"));
    // An editor's pointer to the schema is no setting.
    if (typeof value === "object" && value !== null && "$schema" in value) delete value.$schema;
    return value;
  } catch (error) {
    throw new InputError(`--config: ${name} is not JSON: ${oneLine(error)}`);
  }
}

async function importModule(path: string, name: string): Promise<unknown> {
  if (!/\.(ts|js|mjs|mts)$/.test(path))
    throw new InputError(`--config: ${name} must end in .json, .ts or .js`);
  try {
    const module: unknown = await import(path);
    return typeof module === "object" && module !== null && "default" in module ? module.default : undefined;
  } catch (error) {
    throw new InputError(`--config: ${name} can't be loaded: ${oneLine(error)}`);
  }
}

function oneLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n")[0] as string;
}

function fromFolder(config: Config, folder: string): Config {
  const from = (path: string): string => resolve(folder, path);
  const output = config.output ?? {};
  return {
    ...config,
    // A hub id is no path; a directory beside the config is.
    ...(config.model !== undefined && existsSync(from(config.model)) ? { model: from(config.model) } : {}),
    ...(config.image !== undefined ? { image: from(config.image) } : {}),
    output: {
      ...output,
      ...(output.file !== undefined ? { file: from(output.file) } : {}),
      ...(output.saveLatents !== undefined ? { saveLatents: from(output.saveLatents) } : {}),
      ...(output.saveFrames !== undefined ? { saveFrames: from(output.saveFrames) } : {}),
    },
  };
}
