import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  add,
  type Device,
  type DType,
  keep,
  memory,
  Rehearsal,
  scope,
  synchronizeBlocking,
  Tensor,
} from "@wan-ts/tensor";
import { HookError, Linear, Module, ModuleList, offloadBlocks, type Parameter } from "./index.ts";

/** A rehearsal needs no device to count what would be on one. */
let rehearsal: Rehearsal;

beforeEach(() => {
  rehearsal = new Rehearsal();
});

afterEach(() => {
  rehearsal[Symbol.dispose]();
  synchronizeBlocking();
  expect(memory().liveStorages).toBe(0);
});

const device: Device = "cuda:0";
const width = 64;

/** A layer, and a parameter of the block's own. */
class Block extends Module<{ input: Tensor }, Tensor> {
  readonly linear: Linear;
  readonly shift: Parameter;

  constructor() {
    super();
    this.linear = this.child("linear", new Linear(width, width));
    this.shift = this.parameter("shift", [width]);
  }

  protected override forward({ input }: { input: Tensor }): Tensor {
    return add(this.linear.call({ input }), this.shift.value);
  }
}

class Model extends Module<{ input: Tensor }, Tensor> {
  readonly blocks: ModuleList<Block>;
  /** Called in the middle of a pass, with the index of the block that comes next. */
  between: (index: number) => void = () => undefined;

  constructor(count: number) {
    super();
    this.blocks = this.child("blocks", new ModuleList(Array.from({ length: count }, () => new Block())));
  }

  protected override forward({ input }: { input: Tensor }): Tensor {
    let states = input;
    for (const [index, block] of this.blocks.items.entries()) {
      this.between(index);
      states = block.call({ input: states });
    }
    return states;
  }
}

/** A model whose parameters are in this machine's memory. */
function model(count: number, dtype: DType = "float32"): Model {
  const made = new Model(count);
  for (const [, parameter] of made.namedParameters()) {
    parameter.set(scope(() => keep(Tensor.zeros(parameter.shape, dtype))));
  }
  return made;
}

/** Bytes of a block's parameters. */
function blockBytes(size: number): number {
  return (width * width + 2 * width) * size;
}

const inputBytes = 4 * width;

function pass(module: { call(input: { input: Tensor }): Tensor }): void {
  using input = Tensor.zeros([1, width], "float32", device);
  using _output = module.call({ input });
  rehearsal.take();
}

/** Devices of the parameters of each block. */
function devices(module: Model): string[] {
  return module.blocks.items.map((block) =>
    [...new Set([...block.namedParameters()].map(([, { held }]) => (held as Tensor).device))].join(" "),
  );
}

describe("offloadBlocks", () => {
  test("has two blocks on the device at most, and none after a pass", () => {
    using module = model(5);
    offloadBlocks(module, module.blocks, { device });
    rehearsal.take();
    for (let round = 0; round < 2; round++) {
      using input = Tensor.zeros([1, width], "float32", device);
      module.call({ input }).dispose();
      const { peakDeviceBytes, deviceBytes } = rehearsal.take();
      // Inputs, the layer's output and the block's are there beside.
      expect(peakDeviceBytes).toBeGreaterThanOrEqual(2 * blockBytes(4));
      expect(peakDeviceBytes).toBeLessThanOrEqual(2 * blockBytes(4) + 4 * inputBytes);
      expect(deviceBytes).toBe(inputBytes);
      expect(devices(module)).toEqual(Array.from({ length: 5 }, () => "cpu"));
    }
  });

  test("sends the next block before this one computes", () => {
    using module = model(3);
    offloadBlocks(module, module.blocks, { device });
    const held: number[] = [];
    for (const block of module.blocks) {
      block.linear.hooks.add({
        name: "look",
        before: () => {
          expect([...block.namedParameters()].every(([, { value }]) => value.device === device)).toBe(true);
          held.push(rehearsal.take().deviceBytes);
        },
      });
    }
    pass(module);
    const one = blockBytes(4);
    expect(held.map((bytes) => Math.floor(bytes / one))).toEqual([2, 2, 1]);
  });

  test("has the parameters of what is called by itself there for that call", () => {
    using module = model(3);
    offloadBlocks(module, module.blocks, { device });
    rehearsal.take();
    pass(module.blocks.items[1]!.linear);
    pass(module.blocks.items[2]!);
    rehearsal.take();
    using input = Tensor.zeros([1, width], "float32", device);
    module.blocks.items[0]!.linear.call({ input }).dispose();
    const { peakDeviceBytes, deviceBytes } = rehearsal.take();
    expect(peakDeviceBytes).toBe((width * width + width) * 4 + 2 * inputBytes);
    expect(deviceBytes).toBe(inputBytes);
  });

  test("moves what is held as it is, and casts it where it is computed", () => {
    using module = model(3, "bfloat16");
    offloadBlocks(module, module.blocks, { device, dtypeOf: () => "float32" });
    rehearsal.take();
    using input = Tensor.zeros([1, width], "float32", device);
    module.call({ input }).dispose();
    const { operations } = rehearsal.take();
    const moved = operations.filter(({ operation }) => operation === "toDevice");
    expect(moved.every(({ outputs }) => outputs[0]?.dtype === "bfloat16")).toBe(true);
    expect(moved.reduce((sum, { count }) => sum + count, 0)).toBe(9);
    expect([...module.namedParameters()].every(([, { dtype }]) => dtype === "bfloat16")).toBe(true);
  });

  test("moves parts of narrowed parameters, and what is loaded by then", () => {
    using module = model(2);
    offloadBlocks(module, module.blocks, { device });
    pass(module);
    const { weight, bias } = module.blocks.items[1]!.linear;
    const widen = [weight, bias!].map((parameter) => parameter.narrow({ dim: 0, start: 0, end: width / 2 }));
    rehearsal.take();
    pass(module.blocks.items[0]!);
    using input = Tensor.zeros([1, width], "float32", device);
    using half = module.blocks.items[1]!.linear.call({ input });
    expect(half.shape).toEqual([1, width / 2]);
    for (const way of widen) way();
    module.dispose();
    expect(() => module.call({ input })).toThrow("not loaded");
    for (const [, parameter] of module.namedParameters()) parameter.set(Tensor.zeros(parameter.shape));
    module.call({ input }).dispose();
  });

  test("leaves nothing on the device where a pass fails or skips blocks", () => {
    using module = model(4);
    offloadBlocks(module, module.blocks, { device });
    module.between = (index) => {
      if (index === 2) throw new Error("stop");
    };
    using input = Tensor.zeros([1, width], "float32", device);
    expect(() => module.call({ input })).toThrow("stop");
    expect(rehearsal.take().deviceBytes).toBe(inputBytes);
    module.between = () => undefined;
    module.blocks.items[2]!.hooks.add({ name: "skip", around: (given) => given.input.share() });
    module.call({ input }).dispose();
    const { deviceBytes, peakDeviceBytes } = rehearsal.take();
    expect(deviceBytes).toBe(inputBytes);
    expect(peakDeviceBytes).toBeLessThan(3 * blockBytes(4));
  });

  test("goes as it came, and is there once", () => {
    using module = model(2);
    const names = (): string[] =>
      [...module.namedModules()].flatMap(([, node]) => (node instanceof Module ? node.hooks.names : []));
    const undo = offloadBlocks(module, module.blocks, { device });
    const added = names();
    expect(added.length).toBeGreaterThan(0);
    expect(() => offloadBlocks(module, module.blocks, { device })).toThrow(HookError);
    expect(names()).toEqual(added);
    undo();
    undo();
    expect(names()).toEqual([]);
    using input = Tensor.zeros([1, width]);
    module.call({ input }).dispose();
  });
});

describe("Parameter.substitute", () => {
  test("holds a value in place of its own until the way back", () => {
    using block = new Block();
    using early = Tensor.zeros([width]);
    expect(() => block.shift.substitute(early)).toThrow("not loaded");
    const own = Tensor.zeros([width]);
    block.shift.set(own);
    const other = Tensor.zeros([width], "bfloat16");
    const back = block.shift.substitute(other);
    expect(block.shift.value).toBe(other);
    expect(() => block.shift.narrow({ dim: 0, start: 0, end: 1 })).toThrow("without a substitute");
    back();
    expect(block.shift.value).toBe(own);
    expect(other.isDisposed).toBe(true);
    back();
    expect(own.isDisposed).toBe(false);
  });

  test("is let go of with the parameter, whatever comes after", () => {
    using block = new Block();
    block.shift.set(Tensor.zeros([width]));
    const back = block.shift.substitute(Tensor.zeros([width]));
    const later = Tensor.zeros([width]);
    block.shift.set(later);
    back();
    expect(block.shift.value).toBe(later);
  });
});
