import { nearestName } from "@wan-ts/attention";
import { Module, type ModuleNode, type RowConvolution, type RowPlan } from "@wan-ts/nn";
import { ContextParallelError } from "../errors.ts";
import { haloOf } from "./halo.ts";

/** A module of a plan, which says what it takes and gives. */
export type PlannedModule = Module<unknown, unknown>;

/**
 * The modules that a plan names, by name.
 *
 * @throws {ContextParallelError} `plan` where one isn't there, isn't within its region, or is a
 * convolution whose output hasn't a row for every `stride` rows of whole frames.
 */
export function checkRowPlan(root: ModuleNode, plan: RowPlan): ReadonlyMap<string, PlannedModule> {
  const named = new Map(root.namedModules());
  const found = new Map<string, PlannedModule>();
  const find = (name: string, within = ""): void => {
    const module = name.startsWith(within) ? named.get(name) : undefined;
    if (module instanceof Module) {
      found.set(name, module);
      return;
    }
    const nearest = nearestName(
      name,
      [...named.keys()].filter((other) => other !== "" && other.startsWith(within)),
    );
    const inside = within === "" ? "of the model" : `in ${within.slice(0, -1)}`;
    const expected = `a module ${inside}${nearest === undefined ? "" : `, such as "${nearest}"`}`;
    throw new ContextParallelError("plan", "a module of the row plan", expected, `"${name}"`);
  };
  for (const region of plan) {
    find(region.module);
    for (const unit of ["inputRows", "outputRows"] as const) {
      if (Number.isInteger(region[unit]) && region[unit] > 0) continue;
      const expected = "a whole number above 0";
      throw new ContextParallelError("plan", `${unit} of ${region.module}`, expected, `${region[unit]}`);
    }
    for (const convolution of region.convolutions) {
      find(convolution.module, `${region.module}.`);
      checkConvolution(convolution);
    }
    for (const attention of region.attentions) find(attention, `${region.module}.`);
  }
  return found;
}

function checkConvolution(convolution: RowConvolution): void {
  const { module, kernel, stride, padding } = convolution;
  const { below } = haloOf(convolution);
  if (padding[0] >= 0 && padding[1] === below && below >= 0) return;
  const expected = `a kernel of as many rows as stride and padding together`;
  const found = `a kernel of ${kernel} with stride ${stride} and padding ${padding.join(" + ")}`;
  throw new ContextParallelError("plan", module, expected, found);
}
