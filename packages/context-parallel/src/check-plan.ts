import type { ContextParallelPlan, Module, ModuleNode } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "./errors.ts";
import { matchModules } from "./match-modules.ts";

/** A module whose arguments and results are looked at by name. */
export type AnyModule = Module<Record<string, unknown>, Record<string, Tensor> | Tensor>;

/** An entry of a plan with the modules that its pattern matches. */
export interface MatchedEntry {
  readonly entry: ContextParallelPlan[number];
  readonly modules: readonly PlannedModule[];
  /** The modules of `operandsOf`, where the entry has it. */
  readonly operandsOf: readonly PlannedModule[];
}

/** A module of a plan and its full name. */
export interface PlannedModule {
  readonly name: string;
  readonly module: AnyModule;
}

/**
 * Finds the modules of a plan, before any weight is there.
 *
 * @throws {ContextParallelError} `plan` where a pattern matches no module, where what is split is
 * never gathered, or gathered without having been split.
 */
export function checkPlan(root: ModuleNode, plan: ContextParallelPlan): MatchedEntry[] {
  const find = (pattern: string): PlannedModule[] =>
    matchModules(root, pattern).map(({ name, module }) => ({ name, module: module as AnyModule }));
  const matched = plan.map((entry) => ({
    entry,
    modules: find(entry.module),
    operandsOf: entry.kind === "attention" && entry.operandsOf ? find(entry.operandsOf) : [],
  }));
  const kinds = plan.map((entry) => entry.kind);
  const [splits, gathers] = [kinds.indexOf("split"), kinds.lastIndexOf("gather")];
  if (splits < 0 || gathers < kinds.lastIndexOf("split")) {
    const found = splits < 0 ? "never split" : "split after, or without, the last gather";
    throw new ContextParallelError("plan", "the tokens of a plan", "split first and gathered last", found);
  }
  if (!kinds.includes("attention")) {
    const found = "a plan without any: a rank would attend to its own tokens alone";
    throw new ContextParallelError("plan", "attention among split tokens", "named in the plan", found);
  }
  return matched;
}
