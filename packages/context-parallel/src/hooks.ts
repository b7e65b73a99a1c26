import type { AttentionCall, AttentionResult } from "@wan-ts/attention";
import type { ContextParallelInput, ContextParallelOutput, Module } from "@wan-ts/nn";
import { Tensor } from "@wan-ts/tensor";
import type { AnyModule, MatchedEntry } from "./check-plan.ts";
import { ContextParallelError } from "./errors.ts";
import type { SplitSequence } from "./sequence.ts";

/** Attention over ranks: `attend` is the model's own, for what this rank has gathered. */
export type AttentionOverRanks = (
  call: AttentionCall,
  attend: (call: AttentionCall) => AttentionResult,
) => AttentionResult;

/** The name of every hook that splits over ranks. */
export const hookName = "contextParallel";

/**
 * Splits and gathers happen closest to the module: what other hooks, such as a cache's, see is the same
 * whatever order they came in.
 */
const innermost = 1000;

/**
 * Adds the hooks of a checked plan; returns their removal.
 *
 * @param exchanging runs what computes tensors that are about to be exchanged.
 */
export function addHooks(
  matched: readonly MatchedEntry[],
  sequence: SplitSequence,
  attention: AttentionOverRanks,
  exchanging: <T>(compute: () => T) => T = (compute) => compute(),
): () => void {
  const removals: (() => void)[] = [];
  const removeAll = (): void => {
    for (const remove of removals.splice(0).toReversed()) remove();
  };
  try {
    for (const [place, { entry, modules, operandsOf }] of matched.entries()) {
      for (const { module } of operandsOf) {
        const around = (input: Record<string, unknown>, forward: AnyForward) =>
          exchanging(() => forward(input));
        removals.push(module.hooks.add({ name: `${hookName}.${place}`, order: innermost, around }));
      }
      for (const { name, module } of modules) {
        const options = { name: `${hookName}.${place}`, order: innermost };
        switch (entry.kind) {
          case "split":
            removals.push(module.hooks.add({ ...options, ...splitHook(name, entry, sequence) }));
            break;
          case "gather":
            removals.push(module.hooks.add({ ...options, ...gatherHook(name, entry, sequence) }));
            break;
          case "attention": {
            // The plan says that this module takes and gives what attention does.
            const attending = module as unknown as Module<AttentionCall, AttentionResult>;
            removals.push(attending.hooks.add({ ...options, around: attention }));
            break;
          }
        }
      }
    }
  } catch (error) {
    removeAll();
    throw error;
  }
  return removeAll;
}

type AnyForward = AnyModule["call"];

type SplitHook = Pick<Parameters<AnyModule["hooks"]["add"]>[0], "before" | "after">;

function splitHook(module: string, entry: ContextParallelInput, sequence: SplitSequence): SplitHook {
  const { tensor: which, dim, dims, optional } = entry;
  const split = <T extends object>(values: T, key: string, kind: string): T => {
    const value = (values as Record<string, unknown>)[key];
    const name = `${kind} ${key} of ${module}`;
    if (value === undefined && optional) return values;
    if (!(value instanceof Tensor) || value.rank !== dims) {
      const found =
        value instanceof Tensor ? `of ${value.rank}` : `none; there are ${Object.keys(values).join(", ")}`;
      throw new ContextParallelError("tensor", name, `a tensor of ${dims} dimensions`, found);
    }
    return { ...values, [key]: sequence.split(name, value, dim) };
  };
  return "argument" in which
    ? { before: (input) => split(input, which.argument, "argument") }
    : {
        after: (output) => {
          const parted = split(output, which.result, "result");
          if (parted !== output) (output as Record<string, Tensor>)[which.result]?.dispose();
          return parted;
        },
      };
}

function gatherHook(
  module: string,
  { dim, dims }: ContextParallelOutput,
  sequence: SplitSequence,
): SplitHook {
  return {
    after: (output) => {
      if (!(output instanceof Tensor) || output.rank !== dims) {
        const found = output instanceof Tensor ? `of ${output.rank}` : "none";
        throw new ContextParallelError(
          "tensor",
          `the output of ${module}`,
          `a tensor of ${dims} dimensions`,
          found,
        );
      }
      return sequence.gather(output, dim);
    },
  };
}
