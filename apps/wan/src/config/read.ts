import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { isNestedBeyond } from "@wan-ts/hub";
import { InputError } from "../input-error.ts";
import { checkConfig, namedByFile } from "./check.ts";
import type { Config } from "./schema.ts";

/** Config files looked for in the working directory, first found first. */
const defaultFiles = ["wan.config.ts", "wan.config.js", "wan.config.json"];
/** Far above any config by hand; keeps a wrong file from being read whole. */
const largestConfig = 1 << 20;
/** A config has two levels; a value without end can't be shown in a message. */
const largestDepth = 16;

/**
 * The config file named, or the folder's own, or an empty config. Paths in it are taken from its
 * own folder.
 *
 * @param folder where to look and what `file` is relative to; by default the working directory.
 * @throws {InputError} for a file that is missing, not a config, or that says something unknown.
 */
export async function readConfig(file: string | undefined, folder = process.cwd()): Promise<Config> {
  const chosen = file ?? defaultFiles.find((candidate) => existsSync(resolve(folder, candidate)));
  if (chosen === undefined) return {};
  const path = resolve(folder, chosen);
  const entry = await stat(path).catch(() => undefined);
  if (!entry?.isFile()) throw new InputError(`--config: there is no file ${chosen}`);
  if (entry.size > largestConfig) {
    throw new InputError(
      `--config: ${chosen} has ${entry.size} bytes, more than a config's ${largestConfig}`,
    );
  }
  const value = path.endsWith(".json") ? await readJson(path, chosen) : await importModule(path, chosen);
  return fromFolder(checkConfig(value, namedByFile(chosen)), dirname(path));
}

async function readJson(path: string, name: string): Promise<unknown> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new InputError(`--config: ${name} is not JSON: ${messageOf(cause)}`, { cause });
  }
  if (isNestedBeyond(value, largestDepth)) {
    throw new InputError(`--config: ${name} has more than ${largestDepth} levels, which no config has`);
  }
  if (typeof value !== "object" || value === null || !("$schema" in value)) return value;
  // An editor's pointer to the schema is no setting.
  const { $schema: _, ...settings } = value;
  return settings;
}

async function importModule(path: string, name: string): Promise<unknown> {
  if (!/\.[cm]?[jt]s$/.test(path)) throw new InputError(`--config: ${name} must end in .json, .ts or .js`);
  let module: unknown;
  try {
    module = await import(pathToFileURL(path).href);
  } catch (cause) {
    throw new InputError(`--config: ${name} can't be loaded: ${messageOf(cause)}`, { cause });
  }
  if (typeof module === "object" && module !== null && "default" in module) return module.default;
  throw new InputError(`--config: ${name} must export the config as its default`);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function fromFolder(config: Config, folder: string): Config {
  const from = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : resolve(folder, path);
  const { model, output = {} } = config;
  return {
    ...config,
    // A hub id is no path; a directory beside the config is.
    model: model !== undefined && existsSync(resolve(folder, model)) ? from(model) : model,
    image: from(config.image),
    lastImage: from(config.lastImage),
    output: {
      ...output,
      file: from(output.file),
      saveLatents: from(output.saveLatents),
      saveFrames: from(output.saveFrames),
      trace: from(output.trace),
    },
  };
}
