import { describe, expect, test } from "bun:test";
import { concatenate, multiply, scope, type Tensor } from "@wan-ts/tensor";
import { fixtureTransformer } from "../testing/fixture-transformer.ts";

const name = "transformer-text-to-video";

describe("hooks on a block of WanTransformer", () => {
  test("a before hook sees hiddenStates, context, temb and rotary, and can replace hiddenStates", () => {
    scope(() => {
      using loaded = fixtureTransformer(name, "float32");
      const { model, input } = loaded;
      const zeroed = (states: Tensor) => multiply(states, 0);
      const removeFromPatches = model.patchEmbedding.hooks.add({ name: "zero", after: zeroed });
      const expected = model.call(input).floatsBlocking();
      removeFromPatches();

      const seen: Record<string, readonly number[]> = {};
      model.blocks.items[0]!.hooks.add({
        name: "zero",
        before: (inputs) => {
          seen.hiddenStates = inputs.hiddenStates.shape;
          seen.temb = inputs.temb.shape;
          seen.cos = inputs.rotary.cos.shape;
          seen.key = inputs.context.text.key.shape;
          return { ...inputs, hiddenStates: zeroed(inputs.hiddenStates) };
        },
      });
      expect(model.call(input).floatsBlocking()).toEqual(expected);
      expect(seen).toEqual({
        hiddenStates: [2, 45, 24],
        temb: [2, 1, 6, 24],
        cos: [1, 45, 6],
        key: [2, 13, 2, 12],
      });
    });
  });

  test("an after hook can replace the output, by the input itself too", () => {
    scope(() => {
      using loaded = fixtureTransformer(name, "float32");
      const { model, input } = loaded;
      const whole = model.call(input).floatsBlocking();
      let skipped: Tensor | undefined;
      const [first, second] = model.blocks.items;
      // A step cache skips a block like this.
      const remove = first!.hooks.add({
        name: "skip",
        after: (_, inputs) => {
          skipped = inputs.hiddenStates;
          return inputs.hiddenStates;
        },
      });
      const seen: Tensor[] = [];
      second!.hooks.add({ name: "see", before: ({ hiddenStates }) => void seen.push(hiddenStates) });
      const without = model.call(input).floatsBlocking();
      expect(seen[0]).toBe(skipped);
      expect(without).not.toEqual(whole);
      remove();
      second!.hooks.remove("see");
      expect(model.call(input).floatsBlocking()).toEqual(whole);
    });
  });

  test("tokens can be split behind rope and before the first block, and gathered behind proj_out", () => {
    scope(() => {
      using loaded = fixtureTransformer(name, "float32");
      const { model, input } = loaded;
      const modules = new Map(model.namedModules());
      const local = (tensor: Tensor) => tensor.slice(1, 0, 15); // The first of three frames.
      const removeFromRope = model.rope.hooks.add({
        name: "split",
        after: ({ cos, sin }) => ({ cos: local(cos), sin: local(sin) }),
      });
      const removeFromBlock = model.blocks.items[0]!.hooks.add({
        name: "split",
        before: (inputs) => ({ ...inputs, hiddenStates: local(inputs.hiddenStates) }),
      });
      const removeFromOutput = model.projOut.hooks.add({
        name: "gather",
        after: (output) => {
          expect(output.shape).toEqual([2, 15, 16]);
          return concatenate([output, output, output], 1);
        },
      });
      const frames = model.call(input).chunk(3, 2);
      const [first, second, third] = frames.map((frame) => frame.floatsBlocking());
      expect(second).toEqual(first!);
      expect(third).toEqual(first!);

      const firstFrame = input.hiddenStates.slice(2, 0, 1);
      for (const remove of [removeFromRope, removeFromBlock, removeFromOutput]) remove();
      expect(model.call({ ...input, hiddenStates: firstFrame }).floatsBlocking()).toEqual(first!);
      expect(["rope", "blocks.0", "proj_out"].map((path) => modules.get(path))).toEqual([
        model.rope,
        model.blocks.items[0],
        model.projOut,
      ]);
    });
  });
});
