import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { checkConfig, namedByFile } from "./config/check.ts";
import type { Config } from "./config/schema.ts";

/** The checkpoint that comes with wan-ts. */
export const embeddedModel = resolve(import.meta.dir, "../../../models/wan-tiny");

/**
 * Defaults that lie beside a checkpoint, in `defaults.json`: a config for that checkpoint. Paths in
 * it are taken from its folder. Empty where there is no such file.
 */
export async function readDefaults(model: string): Promise<Config> {
  const file = join(model, "defaults.json");
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return {};
  const config = checkConfig(JSON.parse(text), namedByFile(file));
  return config.image === undefined ? config : { ...config, image: resolve(dirname(file), config.image) };
}
