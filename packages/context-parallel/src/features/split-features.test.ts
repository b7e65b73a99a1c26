import { afterEach, describe, expect, test } from "bun:test";
import type { ProcessGroup } from "@wan-ts/distributed";
import { type FeaturePlan, Linear, Module } from "@wan-ts/nn";
import { memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { splitFeaturesOverRanks } from "./split-features.ts";

afterEach(() => {
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

class Model extends Module<{ input: Tensor }, Tensor> {
  readonly first = this.child("first", new Linear(2, 5));
  readonly last = this.child("last", new Linear(5, 3));

  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.last.call({ input: this.first.call({ input }) });
  }
}

const plan: FeaturePlan = [
  { module: "first", output: { pieces: 5, width: 1 }, gathered: false },
  { module: "last", input: { pieces: 5, width: 1 }, output: { pieces: 3, width: 1 }, gathered: true },
];

/** A place in a group whose other members aren't there: what is refused is so before they are asked. */
const placeOf = (index: number, size: number): ProcessGroup => ({ index, size }) as unknown as ProcessGroup;

function loaded(): Model {
  const model = new Model();
  for (const [, parameter] of model.namedParameters()) parameter.set(Tensor.full(parameter.shape, 1));
  return model;
}

const partsOf = (model: Model): unknown[] => [...model.namedParameters()].map(([, { part }]) => part);

describe("splitFeaturesOverRanks", () => {
  test("gives a rank its rows of weights and of biases, and takes them back", () => {
    using model = loaded();
    const whole = [...model.namedParameters()].map(([, { value }]) => value);
    const undo = splitFeaturesOverRanks(model, plan, placeOf(1, 2));
    expect(partsOf(model)).toEqual([
      { dim: 0, start: 3, end: 5 },
      { dim: 0, start: 3, end: 5 },
      { dim: 0, start: 2, end: 3 },
      { dim: 0, start: 2, end: 3 },
    ]);
    expect([model.first.hooks.names, model.last.hooks.names]).toEqual([[], ["gatherFeatures"]]);
    undo();
    expect(model.last.hooks.names).toEqual([]);
    for (const [place, [, { value, part }]] of [...model.namedParameters()].entries()) {
      expect(value).toBe(whole[place]!);
      expect(part).toBeUndefined();
    }
  });

  test("computes all that is gathered by way of what exchanges, and nothing else", () => {
    using model = loaded();
    let [exchanging, seen] = [0, ""];
    for (const [name, module] of Object.entries({ first: model.first, last: model.last })) {
      // Innermost of all: around the product alone.
      const around = <T>(input: T, forward: (input: T) => Tensor): Tensor => {
        seen += `${name} ${exchanging > 0}, `;
        return forward(input);
      };
      module.hooks.add({ name: "look", order: 2000, around });
    }
    const shares: FeaturePlan = [plan[0]!, { ...plan[1]!, inputOf: "first" }];
    const alike = {
      index: 0,
      size: 2,
      allGather: (_: Tensor, { sizes }: { sizes: readonly number[] }) => {
        seen += `gather ${exchanging > 0}, `;
        return Tensor.zeros([sizes.reduce((sum, size) => sum + size, 0)]);
      },
    } as unknown as ProcessGroup;
    const undo = splitFeaturesOverRanks(model, shares, alike, (compute) => {
      exchanging++;
      try {
        return compute();
      } finally {
        exchanging--;
      }
    });
    scope(() => void model.call({ input: Tensor.full([1, 2], 1) }));
    expect(seen).toBe("first true, gather false, last true, gather false, ");
    undo();
    expect([model.first.hooks.names, model.last.hooks.names]).toEqual([["look"], ["look"]]);
    seen = "";
    scope(() => void model.call({ input: Tensor.full([1, 2], 1) }));
    expect(seen).toBe("first false, last false, ");
  });

  test("leaves a model as it is where one rank has all of it", () => {
    using model = loaded();
    splitFeaturesOverRanks(model, plan, placeOf(0, 1))();
    expect(partsOf(model)).toEqual([undefined, undefined, undefined, undefined]);
    expect(model.last.hooks.names).toEqual([]);
    const wrong = plan.slice(0, 1);
    expect(() => splitFeaturesOverRanks(model, wrong, placeOf(0, 1))).toThrow("the output of first must be");
  });

  test("leaves a model as it was where a hook can't be added", () => {
    using model = loaded();
    model.last.hooks.add({ name: "gatherFeatures" });
    expect(() => splitFeaturesOverRanks(model, plan, placeOf(1, 2))).toThrow(
      '"gatherFeatures" is registered',
    );
    expect(partsOf(model)).toEqual([undefined, undefined, undefined, undefined]);
    expect(model.last.hooks.names).toEqual(["gatherFeatures"]);
    scope(() => {
      expect(model.call({ input: Tensor.full([1, 2], 1) }).floatsBlocking()).toEqual(
        new Float32Array([16, 16, 16]),
      );
    });
  });

  test("refuses features that aren't the rank's own", () => {
    using model = loaded();
    const undo = splitFeaturesOverRanks(model, plan, placeOf(1, 2));
    scope(() => {
      const input = Tensor.full([1, 5], 1);
      expect(() => model.last.call({ input })).toThrow(
        "the input of last must be a tensor of 2 features, its last dimension, but is [1,5]",
      );
    });
    undo();
  });
});
