/**
 * A rank of the tests of rows: a small network of convolutions unlike the models', split and whole.
 *
 * Usage: bun test/rows-rank.ts
 */

import { expect } from "bun:test";
import type { AttentionCall, AttentionResult } from "@wan-ts/attention";
import { joinRanks } from "@wan-ts/distributed";
import {
  Module,
  type Parameter,
  type RowConvolution,
  type RowConvolutionInput,
  type RowPlan,
} from "@wan-ts/nn";
import {
  add,
  attention,
  conv3d,
  Generator,
  memory,
  scope,
  synchronize,
  Tensor,
  upsampleNearest,
} from "@wan-ts/tensor";
import { ContextParallelError, splitRowsOverRanks } from "../src/index.ts";

const channels = 4;
const generator = new Generator(7);

function normal(shape: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(generator.randn(count), shape);
}

type Geometry = Omit<RowConvolution, "module">;

class RowConv extends Module<RowConvolutionInput, Tensor> {
  readonly weight: Parameter;
  readonly geometry: Geometry;

  constructor(geometry: Geometry) {
    super();
    this.geometry = geometry;
    const shape = [channels, channels, 1, geometry.kernel, 1];
    this.weight = this.parameter("weight", shape);
    this.weight.set(normal(shape));
  }

  protected override forward({ input, heightPadding }: RowConvolutionInput): Tensor {
    const { stride, padding } = this.geometry;
    return conv3d(input, this.weight.value, {
      stride: [1, stride, 1],
      padding: [[0, 0], heightPadding ?? padding, [0, 0]],
    });
  }
}

class FrameAttention extends Module<AttentionCall, AttentionResult> {
  mask: Tensor | undefined;

  protected override forward(call: AttentionCall): AttentionResult {
    return attention(call.query, call.key, call.value, call);
  }
}

/** Halves, attends, doubles: a row in for a row out, and two rows to a unit. */
class Network extends Module<{ readonly input: Tensor }, Tensor> {
  readonly wide = this.child("wide", new RowConv({ kernel: 5, stride: 1, padding: [2, 2] }));
  readonly halving = this.child("halving", new RowConv({ kernel: 4, stride: 2, padding: [1, 1] }));
  readonly upwards = this.child("upwards", new RowConv({ kernel: 2, stride: 1, padding: [1, 0] }));
  readonly attention = this.child("attention", new FrameAttention());

  protected override forward({ input }: { readonly input: Tensor }): Tensor {
    const halved = this.halving.call({ input: this.wide.call({ input }) });
    const [batch, frames, height, width] = halved.shape as [number, number, number, number];
    const pixels = halved.reshape([batch * frames, height * width, 1, channels]);
    const { mask } = this.attention;
    const { output } = this.attention.call({ query: pixels, key: pixels, value: pixels, mask });
    const attended = add(halved, output.reshape(halved.shape));
    return this.upwards.call({ input: upsampleNearest(attended, 2) });
  }

  plan(): RowPlan {
    const convolutions = (["wide", "halving", "upwards"] as const).map((module) => ({
      module,
      ...this[module].geometry,
    }));
    const nested = (name: string): string => `network.${name}`;
    return [
      {
        module: "network",
        inputRows: 2,
        outputRows: 2,
        convolutions: convolutions.map((one) => ({ ...one, module: nested(one.module) })),
        attentions: [nested("attention")],
      },
    ];
  }
}

class Model extends Module<{ readonly input: Tensor }, Tensor> {
  readonly network = this.child("network", new Network());

  protected override forward({ input }: { readonly input: Tensor }): Tensor {
    return this.network.call({ input });
  }
}

const ranks = joinRanks({ deadline: 60 });
if (!ranks) throw new Error("started without ranks");
const { world, size } = ranks;
const model = new Model();

async function bytesOf(rows: number): Promise<Uint8Array> {
  using input = scope(() =>
    Tensor.from(new Generator(rows).randn(2 * 3 * rows * 5 * channels), [2, 3, rows, 5, channels]),
  );
  using output = model.call({ input });
  expect(output.shape).toEqual([2, 3, rows, 10, channels]);
  return output.rawBytes();
}

const heights = [2, 4, 6, 8, 10, 14, 22];
const whole = new Map<number, Uint8Array>();
for (const rows of heights) whole.set(rows, await bytesOf(rows));
const undo = splitRowsOverRanks(model, model.network.plan(), world);
for (const rows of heights) expect(await bytesOf(rows)).toEqual(whole.get(rows)!);

// An input that isn't of whole units is refused before anything is exchanged, and the next one goes on.
const ledger = world.ledger();
if (size > 1) {
  using odd = Tensor.zeros([1, 1, 7, 5, channels]);
  expect(() => model.call({ input: odd })).toThrow(
    new ContextParallelError("tensor", "the input of network", "of a multiple of 2 rows", "of 7"),
  );
  expect(world.ledger()).toEqual(ledger);
}
expect(await bytesOf(8)).toEqual(whole.get(8)!);

// A mask would be that of whole frames; the halos of a convolution are exchanged by then.
if (size > 1) {
  using mask = Tensor.zeros([1, 1, 1, 1]);
  model.network.attention.mask = mask;
  const refusal = await bytesOf(8).catch((error: unknown) => error);
  expect(ContextParallelError.isInstance(refusal) && refusal.subject).toBe("the mask of network.attention");
  model.network.attention.mask = undefined;
  expect(await bytesOf(8)).toEqual(whole.get(8)!);
}
undo();
for (const [, module] of model.namedModules())
  expect((module as Module<unknown, unknown>).hooks.names).toEqual([]);

// Bands of one unit of one row are too low for two rows of halo.
const narrow: RowPlan = model.network.plan().map((region) => ({
  ...region,
  inputRows: 1,
  outputRows: 1,
  convolutions: region.convolutions.slice(0, 1),
  attentions: [],
}));
const undoNarrow = splitRowsOverRanks(model, narrow, world);
if (size > 1) {
  const before = world.ledger();
  using low = Tensor.zeros([1, 1, size, 5, channels]);
  expect(() => model.call({ input: low })).toThrow(
    "the input of network.wide must be in bands of multiples of 1 rows, and of at least 2, but is in bands of 1",
  );
  expect(world.ledger()).toEqual(before);
}
undoNarrow();

// A plan that can't be applied whole is not applied in part.
model.network.attention.hooks.add({ name: "rowsOverRanks" });
if (size > 1) {
  expect(() => splitRowsOverRanks(model, model.network.plan(), world)).toThrow("rowsOverRanks");
  expect(model.network.hooks.names).toEqual([]);
  expect(model.network.wide.hooks.names).toEqual([]);
}
expect(await bytesOf(8)).toEqual(whole.get(8)!);
model.dispose();
await synchronize();
expect(memory().liveStorages).toBe(0);
ranks.finish();
