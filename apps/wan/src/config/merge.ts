import type { Config } from "./schema.ts";

/** Flags over a config file, group by group. */
export function mergeConfigs(file: Config, flags: Config): Config {
  return {
    ...file,
    ...flags,
    attention: { ...file.attention, ...flags.attention },
    parallel: { ...file.parallel, ...flags.parallel },
    output: { ...file.output, ...flags.output },
  };
}
