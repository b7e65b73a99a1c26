import type { Config } from "./schema.ts";

/** `over` on top of `under`, key by key and group by group; a key that is undefined says nothing. */
export function mergeConfigs(under: Config, over: Config): Config {
  return {
    ...under,
    ...said(over),
    attention: { ...under.attention, ...said(over.attention) },
    parallel: { ...under.parallel, ...said(over.parallel) },
    output: { ...under.output, ...said(over.output) },
  };
}

function said<T extends object>(group: T | undefined): Partial<T> {
  const entries = Object.entries(group ?? {}).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Partial<T>;
}
