import type { FeaturePlan, FeatureSplit, Features, Module, ModuleNode, Parameter } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import { ContextParallelError } from "../errors.ts";
import { matchModules } from "../match-modules.ts";
import { shares } from "../shares.ts";

/** A module of a feature plan, and how many features each rank has of it. */
export interface DividedModule {
  readonly name: string;
  /** Where its input is gathered, that is the argument `input`. */
  readonly module: Module<{ readonly input: Tensor }, Tensor>;
  /** Output features that each rank computes. */
  readonly output: readonly number[];
  /** Whether they are gathered: one collective of each forward pass. */
  readonly gathered: boolean;
  /** Features of the input that each rank comes with, gathered first: another one. */
  readonly input: readonly number[] | undefined;
}

/**
 * Shares out the features of a plan among `ranks`, as evenly as whole pieces allow; where there are
 * fewer pieces than ranks, the last ones get none. Needs no weights: the result tells, module by module
 * in the order of the plan, who computes what and which collectives there will be.
 *
 * @throws {ContextParallelError} `plan` where the plan doesn't fit the module tree, or leaves features
 * ungathered; `state` where the module is split already.
 */
export function divideFeatures(root: ModuleNode, plan: FeaturePlan, ranks: number): DividedModule[] {
  if (!Number.isInteger(ranks) || ranks < 1) {
    throw new ContextParallelError("worldSize", "the number of ranks", "a whole number from 1", `${ranks}`);
  }
  for (const [place, split] of plan.entries()) {
    checkPath(split, plan.slice(0, place), plan.slice(place + 1));
    if (split.inputOf !== undefined) matchModules(root, split.inputOf);
  }
  const seen = new Set<string>();
  return plan.flatMap(({ module: pattern, output, gathered, input }) =>
    matchModules(root, pattern).map(({ name, module }) => {
      if (seen.has(name)) {
        throw new ContextParallelError("plan", `module ${name}`, "named once in the plan", "named again");
      }
      seen.add(name);
      for (const [parameterName, parameter] of module.namedParameters(`${name}.`)) {
        checkParameter(parameterName, parameter, output);
      }
      return {
        name,
        // The plan says that it is so; its hooks look.
        module: module as DividedModule["module"],
        output: featuresOf(output, ranks),
        gathered,
        input: input && featuresOf(input, ranks),
      };
    }),
  );
}

function featuresOf({ pieces, width }: Features, ranks: number): number[] {
  return shares(pieces, ranks).map((share) => share * width);
}

/** Features that a rank goes on with by itself are gathered later, and only those are. */
function checkPath(split: FeatureSplit, before: FeaturePlan, after: FeaturePlan): void {
  const { module, output, gathered, input, inputOf } = split;
  if (inputOf !== undefined && !input) {
    throw new ContextParallelError(
      "plan",
      `inputOf of ${module}`,
      "left out where there is no input",
      inputOf,
    );
  }
  if (!gathered && !after.some((later) => later.input?.pieces === output.pieces)) {
    const expected = "gathered, or the input of a module after it";
    throw new ContextParallelError("plan", `the output of ${module}`, expected, "neither");
  }
  if (input && !before.some((earlier) => !earlier.gathered && earlier.output.pieces === input.pieces)) {
    const expected = `made of ${input.pieces} pieces that a module before it leaves ungathered`;
    throw new ContextParallelError("plan", `the input of ${module}`, expected, "whole");
  }
}

function checkParameter(name: string, { options, shape, part }: Parameter, output: Features): void {
  const dim = options.featureDim;
  if (dim === undefined) {
    const expected = "one that can be computed by parts of the output features";
    throw new ContextParallelError("plan", `parameter ${name}`, expected, `whole, [${shape}]`);
  }
  const features = output.pieces * output.width;
  if (shape[dim] !== features) {
    const expected = `of ${features} output features (${output.pieces} × ${output.width})`;
    throw new ContextParallelError("plan", `parameter ${name}`, expected, `of ${shape[dim]}`);
  }
  if (part) throw new ContextParallelError("state", `parameter ${name}`, "whole", "split over ranks already");
}
