import { describe, expect, test } from "bun:test";
import type { ProcessGroup } from "@wan-ts/distributed";
import { type ContextParallelPlan, Module, ModuleList } from "@wan-ts/nn";
import { add, concatenate, scope, Tensor } from "@wan-ts/tensor";
import { checkPlan } from "./check-plan.ts";
import { ContextParallelError } from "./errors.ts";
import { addHooks } from "./hooks.ts";
import { SplitSequence } from "./sequence.ts";

/** Adds positions to states, block by block. */
class Positions extends Module<{ tokens: number }, { table: Tensor }> {
  protected override forward({ tokens }: { tokens: number }): { table: Tensor } {
    return {
      table: Tensor.from(
        Float32Array.from({ length: tokens }, (_, token) => token),
        [1, tokens, 1],
      ),
    };
  }
}

class Attend extends Module<{ query: Tensor }, { output: Tensor }> {
  protected override forward({ query }: { query: Tensor }): { output: Tensor } {
    return { output: add(query, 0) };
  }
}

class Block extends Module<{ states: Tensor; table: Tensor }, Tensor> {
  readonly attend = this.child("attend", new Attend());

  protected override forward({ states, table }: { states: Tensor; table: Tensor }): Tensor {
    return add(this.attend.call({ query: states }).output, table);
  }
}

class Last extends Module<{ input: Tensor }, Tensor> {
  protected override forward({ input }: { input: Tensor }): Tensor {
    return add(input, 1);
  }
}

class Model extends Module<{ states: Tensor }, Tensor> {
  readonly positions = this.child("positions", new Positions());
  readonly blocks = this.child("blocks", new ModuleList([new Block(), new Block()]));
  readonly last = this.child("last", new Last());

  protected override forward({ states }: { states: Tensor }): Tensor {
    const { table } = this.positions.call({ tokens: states.size(1) });
    let current = states;
    for (const block of this.blocks) current = block.call({ states: current, table });
    return this.last.call({ input: current });
  }
}

const plan: ContextParallelPlan = [
  { kind: "split", module: "positions", tensor: { result: "table" }, dim: 1, dims: 3 },
  { kind: "split", module: "blocks.0", tensor: { argument: "states" }, dim: 1, dims: 3 },
  { kind: "attention", module: "blocks.*.attend" },
  { kind: "gather", module: "last", dim: 1, dims: 3 },
];

/** A group whose members would all compute what this one does. */
function alike(size: number, index: number): ProcessGroup {
  const group = {
    size,
    index,
    allGather: (input: Tensor, { dim, sizes }: { dim: number; sizes: readonly number[] }) =>
      concatenate(
        sizes.map((extent) => (extent === input.size(dim) ? input : input.slice(dim, 0, extent))),
        dim,
      ),
  };
  return group as unknown as ProcessGroup;
}

const states = (): Tensor => Tensor.zeros([1, 5, 1]);

function hookNames(model: Model): string[] {
  return [...model.namedModules()].flatMap(([name, module]) =>
    module instanceof Module ? module.hooks.names.map((hook: string) => `${name}: ${hook}`) : [],
  );
}

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    return ContextParallelError.isInstance(error) ? `${error.code}: ${error.message}` : String(error);
  }
  return "none";
}

describe("hooks of a plan", () => {
  test("split and gather tokens, and go without a trace", () => {
    scope(() => {
      const model = new Model();
      const whole = model.call({ states: states() }).floatsBlocking();
      const attended: number[] = [];
      const sequence = new SplitSequence(alike(2, 0));
      const undo = addHooks(checkPlan(model, plan), sequence, (call, attend) => {
        attended.push(call.query.size(1));
        return attend(call);
      });
      // The group gives this rank's own three tokens, less one, for the other's two.
      const output = model.call({ states: states() }).floatsBlocking();
      expect([...output]).toEqual([1, 3, 5, 1, 3]);
      expect(attended).toEqual([3, 3]);
      expect(hookNames(model)).toHaveLength(5);
      undo();
      undo();
      expect(hookNames(model)).toEqual([]);
      expect(model.call({ states: states() }).floatsBlocking()).toEqual(whole);
    });
  });

  test("other hooks see the same, whatever the order they came in", () => {
    const seen = [true, false].map((first) =>
      scope(() => {
        const model = new Model();
        const shapes: string[] = [];
        const look = (): void => {
          model.blocks.items[0]!.hooks.add({
            name: "cache",
            before: (input) => void shapes.push(`${input.states.shape}`),
          });
          model.last.hooks.add({ name: "cache", after: (output) => void shapes.push(`${output.shape}`) });
        };
        if (first) look();
        addHooks(checkPlan(model, plan), new SplitSequence(alike(2, 0)), (call, attend) => attend(call));
        if (!first) look();
        model.call({ states: states() });
        return shapes;
      }),
    );
    expect(seen[0]).toEqual(["1,5,1", "1,5,1"]);
    expect(seen[1]).toEqual(seen[0]!);
  });

  test("a hook that can't be added takes those before it away", () => {
    const model = new Model();
    model.last.hooks.add({ name: "contextParallel.3" });
    const add = () =>
      addHooks(checkPlan(model, plan), new SplitSequence(alike(2, 0)), (call, attend) => attend(call));
    expect(add).toThrow(/contextParallel\.3/);
    expect(hookNames(model)).toEqual(["last: contextParallel.3"]);
  });

  test("refuse fewer tokens than ranks, and tensors that aren't as the plan says", () => {
    scope(() => {
      const over = (ranks: number, changed: ContextParallelPlan = plan) => {
        const model = new Model();
        addHooks(checkPlan(model, changed), new SplitSequence(alike(ranks, 0)), (call, attend) =>
          attend(call),
        );
        return codeOf(() => model.call({ states: states() }));
      };
      expect(over(6)).toBe(
        "tokens: the number of tokens, result table of positions, must be at least 6, one for each rank that shares them, but is 5",
      );
      const [table, block, ...rest] = plan;
      expect(over(2, [{ ...table!, dims: 2 } as (typeof plan)[number], block!, ...rest])).toBe(
        "tensor: result table of positions must be a tensor of 2 dimensions, but is of 3",
      );
      const absent = {
        kind: "split",
        module: "blocks.0",
        tensor: { argument: "state" },
        dim: 1,
        dims: 3,
      } as const;
      expect(over(2, [table!, absent, ...rest])).toBe(
        "tensor: argument state of blocks.0 must be a tensor of 3 dimensions, but is none; there are states, table",
      );
    });
  });
});

describe("checkPlan", () => {
  const model = new Model();
  const refused = (changed: ContextParallelPlan): string => codeOf(() => checkPlan(model, changed));

  test("finds every module of a pattern", () => {
    expect(checkPlan(model, plan).map(({ modules }) => modules.map(({ name }) => name))).toEqual([
      ["positions"],
      ["blocks.0"],
      ["blocks.0.attend", "blocks.1.attend"],
      ["last"],
    ]);
  });

  test("names the nearest module for one that isn't there", () => {
    expect(refused([...plan, { kind: "attention", module: "blocks.*.atend" }])).toContain('"blocks.*.atend"');
    expect(refused([{ kind: "gather", module: "lost", dim: 1, dims: 3 }])).toContain('such as "last"');
  });

  test("wants what is split gathered, and attention over it", () => {
    expect(refused(plan.slice(0, 3))).toContain(
      "plan: the tokens of a plan must be split first and gathered last",
    );
    expect(refused(plan.slice(2))).toContain("never split");
    expect(refused(plan.filter(({ kind }) => kind !== "attention"))).toContain(
      "attention among split tokens",
    );
  });
});
