import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Conv3d, Module, type ModuleNode, type RowPlan } from "@wan-ts/nn";
import { scope, Tensor, TensorError } from "@wan-ts/tensor";
import { kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { CausalConv3d } from "./causal-conv3d.ts";
import { parseVaeConfig } from "./config.ts";
import { FeatureCache } from "./feature-cache.ts";
import { loadVae } from "./load-vae.ts";
import { vaeRowPlan } from "./row-plan.ts";
import { SpatialConv } from "./spatial-conv.ts";
import type { WanVae } from "./wan-vae.ts";

const load = (fixture: string, splitRows?: (root: ModuleNode, plan: RowPlan) => () => void): WanVae => {
  const weights = readFixture(fixture);
  const config = parseVaeConfig(weights.config, "vae/config.json");
  return loadVae(config, weights.checkpoint(), {
    dtype: "float32",
    attention: kernelDispatcher(),
    splitRows,
  });
};

describe.each([
  ["Wan 2.1", "vae-weights"],
  ["Wan 2.2", "vae-residual-weights"],
])("the row plan of %s", (_, fixture) => {
  let vae: WanVae;
  let plan: RowPlan;
  beforeAll(() => {
    vae = load(fixture);
    plan = vaeRowPlan(vae);
  });
  afterAll(() => vae.dispose());

  test("takes 8 rows to each latent row and back, with attention in the middle blocks", () => {
    expect(plan.map((region) => ({ ...region, convolutions: region.convolutions.length > 0 }))).toEqual([
      {
        module: "encoder",
        inputRows: 8,
        outputRows: 1,
        convolutions: true,
        attentions: ["encoder.mid_block.attentions.0.attention"],
      },
      {
        module: "decoder",
        inputRows: 1,
        outputRows: 8,
        convolutions: true,
        attentions: ["decoder.mid_block.attentions.0.attention"],
      },
    ]);
  });

  test("names every layer whose weight covers more than one row", () => {
    const named = plan.flatMap(({ convolutions }) => convolutions.map(({ module }) => module));
    const covering = [...vae.namedParameters()].flatMap(([name, { shape }]) =>
      name.endsWith(".weight") && (shape.at(-2) ?? 1) > 1 && shape.length >= 4
        ? [name.slice(0, -".weight".length)]
        : [],
    );
    expect(named.toSorted()).toEqual(covering.toSorted());
    expect(new Set(named).size).toBe(named.length);
  });

  test("tells each one's kernel, stride and padding", () => {
    const all = new Map(plan.flatMap(({ convolutions }) => convolutions.map((one) => [one.module, one])));
    for (const [name, layer] of vae.namedModules()) {
      if (layer instanceof SpatialConv && name.startsWith("encoder")) {
        expect(all.get(name)).toEqual({ module: name, kernel: 3, stride: 2, padding: [0, 1] });
      } else if (layer instanceof SpatialConv || (layer instanceof CausalConv3d && layer.kernel[1] === 3)) {
        expect(all.get(name)).toEqual({ module: name, kernel: 3, stride: 1, padding: [1, 1] });
      } else if (layer instanceof CausalConv3d || layer instanceof Conv3d) {
        expect(all.has(name)).toBe(false);
      }
    }
  });
});

describe("a convolution", () => {
  test("with the rows next to a part of a frame gives that part of the whole's bytes", () => {
    scope(() => {
      using vae = load("vae-weights");
      const modules = new Map(vae.namedModules());
      const values = Float32Array.from({ length: 2 * 6 * 5 * 12 }, (_, index) => Math.sin(index));
      const input = Tensor.from(values, [1, 2, 6, 5, 12]);
      for (const name of ["decoder.mid_block.resnets.0.conv1", "encoder.down_blocks.0.conv2"]) {
        const layer = modules.get(name) as CausalConv3d;
        const [, channels] = layer.weight.shape as [number, number];
        const frames = input.slice(4, 0, channels);
        const part = (rows: Tensor, heightPadding?: readonly [number, number]): Tensor => {
          using cache = new FeatureCache();
          const chunks = [rows.slice(1, 0, 1), rows.slice(1, 1)];
          return chunks.map((chunk) => layer.call({ input: chunk, cache, heightPadding })).at(-1) as Tensor;
        };
        const whole = part(frames);
        const upper = part(frames.slice(2, 0, 4), [1, 0]);
        const lower = part(frames.slice(2, 2), [0, 1]);
        expect(upper.floatsBlocking()).toEqual(whole.slice(2, 0, 3).floatsBlocking());
        expect(lower.floatsBlocking()).toEqual(whole.slice(2, 3).floatsBlocking());
      }
      const down = modules.get("encoder.down_blocks.1.resample.1") as SpatialConv;
      const frames = input.slice(4, 0, down.weight.shape[1]);
      const whole = down.call({ input: frames });
      const upper = down.call({ input: frames.slice(2, 0, 3), heightPadding: [0, 0] });
      const lower = down.call({ input: frames.slice(2, 2), heightPadding: [0, 1] });
      expect(upper.floatsBlocking()).toEqual(whole.slice(2, 0, 1).floatsBlocking());
      expect(lower.floatsBlocking()).toEqual(whole.slice(2, 1).floatsBlocking());
    });
  });
});

describe("enableParallelism", () => {
  test("hands the tree and its plan over once, and undoes it once", () => {
    const calls: string[] = [];
    using vae = load("vae-weights", (root, plan) => {
      expect(root).toBe(vae);
      expect(plan).toEqual(vaeRowPlan(vae));
      calls.push("split");
      return () => void calls.push("joined");
    });
    expect(vae.parallel).toBe(false);
    vae.disableParallelism();
    vae.enableParallelism();
    vae.enableParallelism();
    expect(vae.parallel).toBe(true);
    vae.disableParallelism();
    vae.disableParallelism();
    expect(vae.parallel).toBe(false);
    expect(calls).toEqual(["split", "joined"]);
  });

  test("stays whole where splitting fails", () => {
    using vae = load("vae-weights", () => {
      throw new Error("no such ranks");
    });
    expect(() => vae.enableParallelism()).toThrow("no such ranks");
    expect(vae.parallel).toBe(false);
  });

  test("is refused without anything to split with", () => {
    using vae = load("vae-weights");
    expect(() => vae.enableParallelism()).toThrow(TensorError);
    expect(
      [...vae.namedModules()].flatMap(([, one]) => (one instanceof Module ? one.hooks.names : [])),
    ).toEqual([]);
  });
});
