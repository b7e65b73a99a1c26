import { describe, expect, test } from "bun:test";
import { Module, ModuleNode, type RowConvolution, type RowRegion } from "@wan-ts/nn";
import { ContextParallelError } from "../errors.ts";
import { checkRowPlan } from "./check-row-plan.ts";

class Layer extends Module<unknown, unknown> {
  protected override forward(input: unknown): unknown {
    return input;
  }
}

class Region extends Layer {
  readonly first = this.child("conv_in", new Layer());
  readonly attention = this.child("attention", new Layer());
}

class Model extends ModuleNode {
  readonly encoder = this.child("encoder", new Region());
  readonly decoder = this.child("decoder", new Region());
  readonly list = this.child("list", new (class extends ModuleNode {})());
}

const convolution: RowConvolution = { module: "encoder.conv_in", kernel: 3, stride: 1, padding: [1, 1] };
const region: RowRegion = {
  module: "encoder",
  inputRows: 8,
  outputRows: 1,
  convolutions: [convolution],
  attentions: ["encoder.attention"],
};

function refusal(changes: Partial<RowRegion>): string {
  try {
    checkRowPlan(new Model(), [{ ...region, ...changes }]);
  } catch (error) {
    if (ContextParallelError.isInstance(error) && error.code === "plan") return error.message;
    throw error;
  }
  return "taken";
}
const convolutionOf = (changes: Partial<RowConvolution>) => ({
  convolutions: [{ ...convolution, ...changes }],
});

describe("checkRowPlan", () => {
  test("finds every module of a plan", () => {
    expect([...checkRowPlan(new Model(), [region]).keys()]).toEqual([
      "encoder",
      "encoder.conv_in",
      "encoder.attention",
    ]);
  });

  test.each([
    [
      { module: "encoders", convolutions: [], attentions: [] },
      'a module of the model, such as "encoder", but is "encoders"',
    ],
    [{ module: "list", convolutions: [], attentions: [] }, 'but is "list"'],
    [
      { attentions: ["encoder.atention"] },
      'a module in encoder, such as "encoder.attention", but is "encoder.atention"',
    ],
    [convolutionOf({ module: "decoder.conv_in" }), 'a module in encoder, such as "encoder.conv_in"'],
    [{ inputRows: 0 }, "inputRows of encoder must be a whole number above 0, but is 0"],
    [{ outputRows: 0.5 }, "outputRows of encoder must be a whole number above 0, but is 0.5"],
    [convolutionOf({ padding: [0, 0] }), "a kernel of 3 with stride 1 and padding 0 + 0"],
    [convolutionOf({ stride: 2 }), "a kernel of 3 with stride 2 and padding 1 + 1"],
    [convolutionOf({ padding: [-1, 3] }), "padding -1 + 3"],
    [convolutionOf({ padding: [3, -1] }), "padding 3 + -1"],
  ])("refuses %p", (changes, told) => {
    expect(refusal(changes)).toContain(told);
  });

  test.each([
    [{ kernel: 1, padding: [0, 0] }],
    [{ stride: 2, padding: [0, 1] }],
    [{ stride: 2, padding: [1, 0] }],
    [{ kernel: 4, stride: 2, padding: [1, 1] }],
    [{ kernel: 5, padding: [2, 2] }],
    [{ kernel: 2, stride: 2, padding: [0, 0] }],
  ] as const)("takes %p", (changes) => {
    expect(refusal(convolutionOf(changes))).toBe("taken");
  });
});
