/**
 * Writes the JSON schema of config files, for editors, from the schema that checks them.
 *
 * Usage: bun scripts/config-schema.ts
 */
import { dirname, join } from "node:path";
import { configJsonSchema } from "../apps/wan/src/config/schema.ts";

const root = dirname(import.meta.dir);
const file = join(root, "apps/wan/wan.config.schema.json");
await Bun.write(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
const format = Bun.spawn([join(root, "node_modules/.bin/biome"), "format", "--write", file], { cwd: root });
process.exit(await format.exited);
