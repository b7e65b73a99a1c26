import type { ProcessGroup } from "@wan-ts/distributed";
import type { FeaturePlan, ModuleNode } from "@wan-ts/nn";
import { matchModules } from "../match-modules.ts";
import { startOf } from "../shares.ts";
import { type DividedModule, divideFeatures } from "./divide-features.ts";
import { gatherFeatures } from "./gather-features.ts";

/** Runs what computes tensors that are about to be exchanged. */
type Exchanging = <T>(compute: () => T) => T;

/** The name of every hook that gathers features. */
const hookName = "gatherFeatures";

/** The name of the hooks of modules that compute what is gathered. */
const operandHookName = "gatherFeatures.operand";

/** Gathers happen closest to the module: hooks around it see whole outputs. */
const innermost = 1000;

/**
 * Splits a model over the members of `group` by output features, as `plan` says: each computes its
 * share of heads and columns, and all get the whole result. The bytes of the result are those of one
 * rank, provided that attention is `rowInvariant`: every feature is computed from the whole input by
 * the same code, and there are no sums over ranks.
 *
 * What is gathered is computed by way of `exchanging`: outputs of gathered modules, and all that the
 * modules of `inputOf` compute.
 *
 * Split before weights load, and each rank loads its share alone; weights that are there already stay
 * whole behind their parts. All members call it, and the model, alike. A group of one leaves the model
 * as it is.
 *
 * Returns what undoes it: the tree is then as before, but for weights that were loaded in part, which
 * are let go of and have to be loaded anew.
 *
 * @throws {ContextParallelError} as {@link divideFeatures}; the model then stays as it was.
 */
export function splitFeaturesOverRanks(
  root: ModuleNode,
  plan: FeaturePlan,
  group: ProcessGroup,
  exchanging: Exchanging = (compute) => compute(),
): () => void {
  const divided = divideFeatures(root, plan, group.size);
  if (group.size === 1) return () => {};
  const undone: (() => void)[] = [];
  const undo = (): void => {
    for (const step of undone.splice(0).toReversed()) step();
  };
  try {
    for (const part of divided) for (const step of splitModule(part, group, exchanging)) undone.push(step);
    for (const { inputOf } of plan) {
      for (const { module } of inputOf === undefined ? [] : matchModules(root, inputOf)) {
        undone.push(
          module.hooks.add({
            name: operandHookName,
            order: innermost,
            around: (given, forward) => exchanging(() => forward(given)),
          }),
        );
      }
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}

/** Splits one module; yields what undoes each step. */
function* splitModule(
  { name, module, output, gathered, input }: DividedModule,
  group: ProcessGroup,
  exchanging: Exchanging,
): Generator<() => void> {
  const start = startOf(output, group.index);
  const end = start + output[group.index]!;
  for (const [, parameter] of module.namedParameters()) {
    yield parameter.narrow({ dim: parameter.options.featureDim!, start, end });
  }
  if (!gathered && !input) return;
  yield module.hooks.add({
    name: hookName,
    order: innermost,
    ...(input && {
      before: (given) => ({
        ...given,
        input: gatherFeatures(`the input of ${name}`, given.input, input, group),
      }),
    }),
    ...(gathered && {
      around: (given, forward) => exchanging(() => forward(given)),
      after: (own) => gatherFeatures(`the output of ${name}`, own, output, group),
    }),
  });
}
