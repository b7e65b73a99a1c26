import { afterEach, describe, expect, test } from "bun:test";
import { add, memory, multiply, synchronize, Tensor, TensorError } from "@wan-ts/tensor";
import { Linear, Module, ModuleList } from "./index.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

class Shift extends Module<{ input: Tensor }, Tensor> {
  readonly amount = this.parameter("amount", [1]);
  readonly made: Tensor[] = [];

  protected override forward({ input }: { input: Tensor }): Tensor {
    const doubled = multiply(input, 2);
    this.made.push(doubled);
    return add(doubled, this.amount.value);
  }
}

class Tree extends Module<{ input: Tensor }, Tensor> {
  readonly table = this.parameter("scale_shift_table", [1, 2]);
  readonly first = this.child("first", new Shift());
  readonly blocks = this.child("blocks", new ModuleList([new Shift(), new Shift()]));

  protected override forward({ input }: { input: Tensor }): Tensor {
    let states = this.first.call({ input });
    for (const block of this.blocks) states = block.call({ input: states });
    return states;
  }
}

function loaded(): Tree {
  const tree = new Tree();
  for (const [, parameter] of tree.namedParameters()) parameter.set(Tensor.full(parameter.shape, 1));
  return tree;
}

describe("Module", () => {
  test("names parameters and modules as checkpoints do", () => {
    const tree = new Tree();
    expect([...tree.namedParameters()].map(([name]) => name)).toEqual([
      "scale_shift_table",
      "first.amount",
      "blocks.0.amount",
      "blocks.1.amount",
    ]);
    expect([...tree.namedModules()].map(([name]) => name)).toEqual([
      "",
      "first",
      "blocks",
      "blocks.0",
      "blocks.1",
    ]);
  });

  test("a call frees its intermediates and keeps its output", async () => {
    using tree = loaded();
    using input = Tensor.from([1, 2], [2]);
    using output = tree.call({ input });
    expect(await output.data()).toEqual(new Float32Array([15, 23]));
    expect(tree.first.made.every((tensor) => tensor.isDisposed)).toBe(true);
    await synchronize();
    expect(memory().liveStorages).toBe(4 + 2);
  });

  test("hooks on a submodule, before or after the first call, change what flows through it", async () => {
    using tree = loaded();
    using input = Tensor.from([1], [1]);
    const run = async (): Promise<number | undefined> => {
      using output = tree.call({ input });
      return (await output.floats())[0];
    };
    expect(await run()).toBe(15);
    const block = tree.blocks.items[0] as Shift;
    const remove = block.hooks.add({
      name: "add",
      before: ({ input: states }) => ({ input: add(states, 1) }),
    });
    expect(await run()).toBe(19);
    remove();
    expect(await run()).toBe(15);
  });

  test("a name can be entered once", () => {
    class Twice extends Module<undefined, undefined> {
      readonly a = this.parameter("weight", [1]);
      readonly b = this.parameter("weight", [1]);
      protected override forward(): undefined {}
    }
    expect(() => new Twice()).toThrow(/"weight", which it has already/);
  });

  test("a parameter that isn't loaded says so, and refuses another shape", () => {
    using layer = new Linear(2, 3);
    using input = Tensor.zeros([1, 2]);
    expect(() => layer.call({ input })).toThrow(/loaded tensor of shape \[3,2\]/);
    using wrong = Tensor.zeros([2, 3]);
    expect(() => layer.weight.set(wrong)).toThrow(TensorError);
  });
});
