import { describe, expect, test } from "bun:test";
import { Embedding, type FeaturePlan, Linear, Module, ModuleList, RmsNorm } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";
import fc from "fast-check";
import { ContextParallelError, type ContextParallelErrorCode } from "../errors.ts";
import { divideFeatures } from "./divide-features.ts";

class Layer extends Module<{ input: Tensor }, Tensor> {
  readonly bias = this.child("bias_table", new Embedding(4, 5));
  readonly query = this.child("q", new Linear(8, 15));
  readonly output = this.child("o", new Linear(15, 8));
  readonly norm = this.child("norm", new RmsNorm(8, { epsilon: 1e-6 }));

  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.output.call({ input: this.query.call({ input: this.norm.call({ input }) }) });
  }
}

class Model extends Module<{ input: Tensor }, Tensor> {
  readonly layers = this.child("layers", new ModuleList([new Layer(), new Layer()]));

  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.layers.items.reduce((states, layer) => layer.call({ input: states }), input);
  }
}

const heads = { pieces: 5, width: 3 };
const states = { pieces: 8, width: 1 };
const query = { module: "layers.*.q", output: heads, gathered: false };
const output = { module: "layers.*.o", input: heads, output: states, gathered: true };
const plan: FeaturePlan = [
  { module: "layers.*.bias_table", output: { pieces: 5, width: 1 }, gathered: false },
  query,
  output,
];

describe("divideFeatures", () => {
  test("keeps heads whole, gives the first ranks one more, and names every module", () => {
    const divided = divideFeatures(new Model(), plan, 3);
    expect(divided.map(({ name, input, output, gathered }) => ({ name, input, output, gathered }))).toEqual([
      { name: "layers.0.bias_table", input: undefined, output: [2, 2, 1], gathered: false },
      { name: "layers.1.bias_table", input: undefined, output: [2, 2, 1], gathered: false },
      { name: "layers.0.q", input: undefined, output: [6, 6, 3], gathered: false },
      { name: "layers.1.q", input: undefined, output: [6, 6, 3], gathered: false },
      { name: "layers.0.o", input: [6, 6, 3], output: [3, 3, 2], gathered: true },
      { name: "layers.1.o", input: [6, 6, 3], output: [3, 3, 2], gathered: true },
    ]);
  });

  test("gives the last ranks nothing where there are fewer heads than ranks", () => {
    const [, , divided] = divideFeatures(new Model(), plan, 7);
    expect(divided?.output).toEqual([3, 3, 3, 3, 3, 0, 0]);
  });

  test("hands out every feature once, whatever the number of ranks", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), (ranks) => {
        for (const { output, input } of divideFeatures(new Model(), plan, ranks)) {
          expect(output.length).toBe(ranks);
          expect([5, 15, 8]).toContain(output.reduce((sum, size) => sum + size, 0));
          if (input) expect(input.reduce((sum, size) => sum + size, 0)).toBe(15);
        }
      }),
    );
  });

  test.each<[string, FeaturePlan, ContextParallelErrorCode, string]>([
    ["an unknown module", [{ ...query, module: "layers.*.k" }, output], "plan", '"layers.*.k"'],
    [
      "a module named twice",
      [query, { ...query, module: "layers.1.q" }, output],
      "plan",
      "module layers.1.q",
    ],
    [
      "another number of features",
      [{ ...query, output: { pieces: 5, width: 4 } }, output],
      "plan",
      "of 20 output",
    ],
    ["parameters without features", [query, { ...output, module: "layers.*.norm" }], "plan", "norm.weight"],
    [
      "features that nobody gathers",
      [query],
      "plan",
      "the output of layers.*.q must be gathered, or the input",
    ],
    [
      "a gather of what is whole",
      [{ ...query, gathered: true }, output],
      "plan",
      "the input of layers.*.o must be",
    ],
    [
      "an input of modules that there aren't",
      [query, { ...output, inputOf: "layers.*.k" }],
      "plan",
      '"layers.*.k"',
    ],
    [
      "modules of no input",
      [{ ...query, inputOf: "layers.*" }, output],
      "plan",
      "inputOf of layers.*.q must be",
    ],
    ["a gather before the split", [output, query], "plan", "the input of layers.*.o must be"],
  ])("refuses %s", (_, wrong, code, message) => {
    const divide = (): unknown => divideFeatures(new Model(), wrong, 2);
    expect(divide).toThrow(ContextParallelError);
    expect(divide).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });

  test("suggests the nearest module for one that there isn't", () => {
    const wrong = [{ ...query, module: "layers.0.qq" }, output];
    expect(() => divideFeatures(new Model(), wrong, 2)).toThrow('such as "layers.0.q"');
  });

  test("refuses a model that is split already, and numbers of ranks that aren't", () => {
    const model = new Model();
    model.layers.items[1]!.query.weight.narrow({ dim: 0, start: 0, end: 3 });
    expect(() => divideFeatures(model, plan, 2)).toThrow(
      "parameter layers.1.q.weight must be whole, but is split over ranks already",
    );
    for (const ranks of [0, 1.5, Number.NaN]) {
      expect(() => divideFeatures(new Model(), plan, ranks)).toThrow("the number of ranks");
    }
  });
});
