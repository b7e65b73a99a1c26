import { nearestName } from "@wan-ts/attention";
import { Module, type ModuleNode } from "@wan-ts/nn";
import { ContextParallelError } from "./errors.ts";

/** A module and its full name. */
export interface NamedModule {
  readonly name: string;
  readonly module: Module<unknown, unknown>;
}

/**
 * The modules below `root`, or `root` itself as "", that a plan means by `pattern`: a full name in
 * which `*` stands for one part.
 *
 * @throws {ContextParallelError} `plan` where there is none.
 */
export function matchModules(root: ModuleNode, pattern: string): NamedModule[] {
  const named = [...root.namedModules()];
  const parts = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  const expression = new RegExp(`^${parts.join("[^.]+")}$`);
  const matched = named.flatMap(([name, module]) =>
    expression.test(name) && module instanceof Module ? [{ name, module }] : [],
  );
  if (matched.length > 0) return matched;
  const names = named.map(([name]) => name).filter((name) => name !== "");
  const nearest = nearestName(pattern, names);
  const expected = `a module, or a pattern of modules, of the model${nearest ? `, such as "${nearest}"` : ""}`;
  throw new ContextParallelError("plan", "a module of the plan", expected, `"${pattern}"`);
}
