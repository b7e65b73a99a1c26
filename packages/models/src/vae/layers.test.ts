import { describe, expect, test } from "bun:test";
import { type Module, ModuleNode } from "@wan-ts/nn";
import { memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { relativeL2 } from "../testing/expect-close.ts";
import { kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { CausalConv3d, type ChunkInput } from "./causal-conv3d.ts";
import { parseVaeConfig } from "./config.ts";
import { FeatureCache } from "./feature-cache.ts";
import { denormalizeLatents, normalizeLatents } from "./latent-statistics.ts";
import { loadVae } from "./load-vae.ts";

/** One layer of few products: half of what a whole model may err. */
const tolerance = 1e-6;

const weights = readFixture("vae-weights");
const layers = readFixture("vae-layers");
const config = parseVaeConfig(weights.config, "vae/config.json");

describe("a layer of the VAE gives what diffusers' does, chunk by chunk:", () => {
  test.each([
    ["encoder.conv_in", 3],
    ["encoder.down_blocks.1", 3], // Halves the size.
    ["encoder.down_blocks.2", 3], // A residual block with a shortcut.
    ["encoder.down_blocks.3", 3], // Halves size and frames.
    ["encoder.mid_block.attentions.0", 2],
    ["decoder.up_blocks.0.upsamplers.0", 4], // Doubles size and frames, a frame at a time.
    ["decoder.up_blocks.1.upsamplers.0", 4], // The same, two frames at a time.
    ["decoder.up_blocks.2.upsamplers.0", 2], // Doubles the size.
    ["decoder.conv_out", 4],
  ])("%s", (name, chunks) => {
    scope(() => {
      using vae = loadVae(config, weights.checkpoint(), { dtype: "float32", attention: kernelDispatcher() });
      const layer = new Map(vae.namedModules()).get(name) as Module<ChunkInput, Tensor>;
      using cache = new FeatureCache();
      for (let index = 0; index < chunks; index++) {
        const input = layers.tensor(`${name}/${index}/input`).permute([0, 2, 3, 4, 1]);
        const wanted = layers.tensor(`${name}/${index}/output`);
        const found = layer.call({ input, cache }).permute([0, 4, 1, 2, 3]);
        expect(found.shape).toEqual(wanted.shape);
        expect(relativeL2(found.floatsBlocking(), wanted.floatsBlocking())).toBeLessThan(tolerance);
      }
      expect(layers.has(`${name}/${chunks}/input`)).toBe(false);
    });
  });
});

describe("CausalConv3d", () => {
  /** A convolution with weights of its own, which tells frames apart. */
  function convolution(): CausalConv3d {
    const layer = new CausalConv3d(2, 3, [3, 3, 3]);
    for (const [, parameter] of layer.namedParameters()) {
      const count = parameter.shape.reduce((product, size) => product * size, 1);
      parameter.set(
        Tensor.from(
          Float32Array.from({ length: count }, (_, i) => Math.sin(i + 1)),
          parameter.shape,
        ),
      );
    }
    return layer;
  }
  const video = () =>
    Tensor.from(
      Float32Array.from({ length: 9 * 4 * 5 * 2 }, (_, i) => Math.cos(3 * i)),
      [1, 9, 4, 5, 2],
    );
  const inChunks = (ends: readonly number[]): Float32Array =>
    scope(() => {
      using layer = convolution();
      using cache = new FeatureCache();
      const input = video();
      const parts = ends.map((end, index) =>
        layer.call({ input: input.slice(1, ends[index - 1] ?? 0, end), cache }).floatsBlocking(),
      );
      return Float32Array.from(parts.flatMap((part) => [...part]));
    });

  test("gives the same bytes whatever the chunks", () => {
    const whole = inChunks([9]);
    expect(inChunks([1, 2, 3, 4, 5, 6, 7, 8, 9])).toEqual(whole);
    expect(inChunks([1, 5, 9])).toEqual(whole);
    expect(inChunks([2, 3, 9])).toEqual(whole);
  });

  test("sees nothing of the future", () => {
    const whole = inChunks([9]);
    const first = inChunks([4]);
    expect([...whole.slice(0, first.length)]).toEqual([...first]);
  });
});

describe("FeatureCache", () => {
  class Layer extends ModuleNode {}

  test("keeps frames apart by layer, in place of those before, until it is disposed", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    const [one, other] = [new Layer(), new Layer()];
    {
      using cache = new FeatureCache();
      scope(() => {
        cache.remember(one, Tensor.full([1, 2, 1, 1, 1], 1));
        cache.remember(one, Tensor.full([1, 2, 1, 1, 1], 2));
      });
      expect(cache.recall(one)?.floatsBlocking()).toEqual(Float32Array.of(2, 2));
      expect(cache.recall(other)).toBeUndefined();
      synchronizeBlocking();
      expect(memory().liveStorages).toBe(before + 1);
    }
    expect(memory().liveStorages).toBe(before);
  });

  test("doesn't hold on to what its frames are a view of", () => {
    synchronizeBlocking();
    const before = memory().liveBytes;
    using cache = new FeatureCache();
    scope(() => cache.remember(new Layer(), Tensor.zeros([1, 100, 16, 16, 16]).slice(1, 98)));
    synchronizeBlocking();
    expect(memory().liveBytes - before).toBeLessThan(3 * 16 ** 3 * 4);
  });
});

describe("latent statistics", () => {
  const statistics = parseVaeConfig({}, "config.json");
  const latents = () =>
    Tensor.from(
      Float32Array.from({ length: 2 * 16 * 3 }, (_, i) => Math.sin(i) * 3),
      [2, 16, 1, 1, 3],
    );

  test("rounds as float32 tensors do in diffusers' pipelines", () => {
    scope(() => {
      const values = latents().floatsBlocking();
      const channel = (index: number): number => Math.floor(index / 3) % 16;
      const mean = (index: number): number => Math.fround(statistics.latentsMean[channel(index)]!);
      const inverse = (index: number): number =>
        Math.fround(1 / Math.fround(statistics.latentsStd[channel(index)]!));
      expect(normalizeLatents(latents(), statistics).floatsBlocking()).toEqual(
        values.map((value, index) => Math.fround(value - mean(index)) * inverse(index)),
      );
      expect(denormalizeLatents(latents(), statistics).floatsBlocking()).toEqual(
        values.map((value, index) => Math.fround(value / inverse(index)) + mean(index)),
      );
    });
  });

  test("one undoes the other", () => {
    scope(() => {
      const back = denormalizeLatents(normalizeLatents(latents(), statistics), statistics);
      expect(relativeL2(back.floatsBlocking(), latents().floatsBlocking())).toBeLessThan(1e-6);
    });
  });
});
