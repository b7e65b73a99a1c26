import { afterEach, describe, expect, test } from "bun:test";
import { openModelDirectory } from "@wan-ts/hub";
import { parseUmt5Config } from "@wan-ts/models";
import { Module, type Parameter, StateError } from "@wan-ts/nn";
import { memory, multiply, synchronize, type Tensor } from "@wan-ts/tensor";
import { DisposedError } from "./errors.ts";
import { fixtureModel } from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";
import { WeightedModel } from "./weighted-model.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

/** The first parameter of the text encoder, and no other. */
class Words extends Module<{ factor: number }, Tensor> {
  readonly table: Parameter;

  constructor(words: number, width: number) {
    super();
    this.table = this.parameter("shared.weight", [words, width]);
  }

  protected override forward({ factor }: { factor: number }): Tensor {
    return multiply(this.table.value, factor);
  }
}

async function words({ onDemand = false, width = 16 } = {}): Promise<WeightedModel<Words>> {
  const directory = await openModelDirectory(fixtureModel("text-to-video-unguided"));
  const component = directory.component("textEncoder");
  const { json, file } = await component.config();
  const { vocabSize } = parseUmt5Config(json, file);
  return new WeightedModel(new Words(vocabSize, width), component, {
    dtype: "float32",
    ignored: [/^encoder\./],
    onDemand,
  });
}

function loaded(model: WeightedModel<Words>): boolean {
  return model.module.table.optional !== undefined;
}

describe("a model that stays", () => {
  test("holds its weights from loading to disposal", async () => {
    using model = await words();
    expect(model.isLoaded).toBe(false);
    await model.load();
    (await model.borrow())[Symbol.dispose]();
    expect(loaded(model)).toBe(true);
    model[Symbol.dispose]();
    expect(loaded(model)).toBe(false);
  });
});

describe("a model on demand", () => {
  test("holds its weights while anybody works with it", async () => {
    using model = await words({ onDemand: true });
    const first = await model.borrow();
    const second = await model.borrow();
    expect(loaded(model)).toBe(true);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    expect(loaded(model)).toBe(true);
    second[Symbol.dispose]();
    expect(loaded(model)).toBe(false);
  });

  test("reads its weights once for those who come at the same time", async () => {
    using model = await words({ onDemand: true });
    const borrowed = await Promise.all([model.borrow(), model.borrow()]);
    const table = model.module.table.value;
    for (const one of borrowed) one[Symbol.dispose]();
    expect(table.isDisposed).toBe(true);
  });

  test("has the same values each time", async () => {
    using model = await words({ onDemand: true });
    const values = async (): Promise<Float32Array> => {
      using borrowed = await model.borrow();
      using scaled = borrowed.module.call({ factor: 2 });
      return await scaled.floats();
    };
    expect(await values()).toEqual(await values());
  });
});

test("a model that is disposed can't be had again", async () => {
  const model = await words({ onDemand: true });
  const underWay = model.borrow();
  model[Symbol.dispose]();
  expect(await rejection(underWay)).toBeInstanceOf(DisposedError);
  expect(await rejection(model.borrow())).toBeInstanceOf(DisposedError);
});

test("a checkpoint that doesn't fit is refused without a trace, each time", async () => {
  using model = await words({ width: 8, onDemand: true });
  // One after the other: a rejection that nobody awaits yet counts as unhandled.
  for (const attempt of [() => model.check(), () => model.borrow(), () => model.load()]) {
    expect(await rejection(attempt())).toBeInstanceOf(StateError);
  }
  expect(model.isLoaded).toBe(false);
});
