import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  concatenate,
  memory,
  scope,
  setThreads,
  synchronize,
  synchronizeBlocking,
  Tensor,
  threads,
} from "@wan-ts/tensor";
import { relativeL2 } from "../testing/expect-close.ts";
import { kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseVaeConfig } from "./config.ts";
import { loadVae } from "./load-vae.ts";
import type { LatentDistribution, WanVae } from "./wan-vae.ts";

/** What two right float32 implementations may part by; measured: encoder 6.8e-7, decoder 6.3e-7. */
const tolerance = 2e-6;

const weights = readFixture("vae-residual-weights");
const config = parseVaeConfig(weights.config, "vae/config.json");
const encoding = readFixture("vae-residual-encode");
const decoding = readFixture("vae-residual-decode");
const load = () => loadVae(config, weights.checkpoint(), { dtype: "float32", attention: kernelDispatcher() });

let vae: WanVae;
beforeAll(() => {
  vae = load();
});
afterAll(() => vae.dispose());

const floats = (tensor: Tensor): Float32Array => tensor.floatsBlocking();
const firstFrames = (tensor: Tensor, frames: number): Tensor => tensor.slice(2, 0, frames);
const video = (name: string): Tensor => encoding.tensor(name).to("float32");
const moments = ({ mean, logVariance }: LatentDistribution): Tensor => concatenate([mean, logVariance], 1);

describe("the VAE of Wan 2.2 encodes", () => {
  test.each([1, 5, 9])("%p frames of 32 × 48 as diffusers does", (frames) => {
    scope(() => {
      const { mean, logVariance } = vae.encode({ video: firstFrames(video("video"), frames) });
      const latentFrames = (frames - 1) / 4 + 1;
      expect(mean.shape).toEqual([1, 4, latentFrames, 2, 3]);
      const wanted = firstFrames(encoding.tensor("moments"), latentFrames);
      expect(relativeL2(floats(mean), floats(wanted.slice(1, 0, 4)))).toBeLessThan(tolerance);
      expect(relativeL2(floats(logVariance), floats(wanted.slice(1, 4)))).toBeLessThan(tolerance);
    });
  });

  test("a batch of two as diffusers does", () => {
    scope(() => {
      const found = floats(moments(vae.encode({ video: video("batch.video") })));
      expect(relativeL2(found, floats(encoding.tensor("batch.moments")))).toBeLessThan(tolerance);
    });
  });

  test("to the same bytes by one thread and by two", () => {
    const before = threads();
    try {
      const [one, two] = [1, 2].map((count) => {
        setThreads(count);
        return scope(() => floats(moments(vae.encode({ video: video("video") }))));
      });
      expect(two).toEqual(one!);
    } finally {
      setThreads(before);
    }
  });

  test.each([
    [[1, 3, 5, 24, 48], "multiples of 16"],
    [[1, 3, 4, 32, 48], "one more than a multiple of 4"],
    [[1, 12, 5, 32, 48], "[B, 3, F, H, W]"],
  ])("no video of %p", (shape, told) => {
    using refused = Tensor.zeros(shape);
    expect(() => vae.encode({ video: refused })).toThrow(told);
  });
});

describe("the VAE of Wan 2.2 decodes", () => {
  test.each([1, 5, 9])("%p frames of 32 × 48 as diffusers does", (frames) => {
    scope(() => {
      const latents = firstFrames(decoding.tensor("latents"), (frames - 1) / 4 + 1);
      const decoded = vae.decode({ latents });
      expect(decoded.shape).toEqual([1, 3, frames, 32, 48]);
      const wanted = firstFrames(decoding.tensor("frames"), frames);
      expect(relativeL2(floats(decoded), floats(wanted))).toBeLessThan(tolerance);
    });
  });

  test("a batch of two as diffusers does, within −1 and 1", () => {
    scope(() => {
      const decoded = floats(vae.decode({ latents: decoding.tensor("batch.latents") }));
      expect(relativeL2(decoded, floats(decoding.tensor("batch.frames")))).toBeLessThan(tolerance);
      expect(Math.max(...decoded)).toBe(1);
      expect(Math.min(...decoded)).toBe(-1);
    });
  });

  test("to the same bytes in chunks, by one thread and by two", async () => {
    const before = threads();
    const runs: Float32Array[] = [];
    try {
      for (const count of [1, 2]) {
        setThreads(count);
        using whole = scope(() => vae.decode({ latents: decoding.tensor("latents") }));
        runs.push(await whole.floats());
      }
    } finally {
      setThreads(before);
    }
    expect(runs[1]).toEqual(runs[0]!);
    scope(() => {
      const chunks = [...vae.decodeFrames({ latents: decoding.tensor("latents") })];
      expect(chunks.map((chunk) => chunk.size(2))).toEqual([1, 4, 4]);
      expect(floats(concatenate(chunks, 2))).toEqual(runs[0]!);
    });
  });
});

describe.each(["bfloat16", "float16"] as const)("the VAE of Wan 2.2 in %s", (dtype) => {
  // Two right implementations in 16 bits may each be as far from float32 as torch's is, in other directions.
  test("is as near to float32 as diffusers is", () => {
    scope(() => {
      using own = loadVae(config, weights.checkpoint(), { dtype, attention: kernelDispatcher() });
      const found = moments(own.encode({ video: video("video").to(dtype) }));
      expect(found.dtype).toBe(dtype);
      expect(relativeL2(floats(found), floats(encoding.tensor("moments")))).toBeLessThan(
        2 * encoding.distances[`${dtype}/moments`]!,
      );
      const decoded = own.decode({ latents: decoding.tensor("latents").to(dtype) });
      expect(decoded.dtype).toBe(dtype);
      expect(relativeL2(floats(decoded), floats(decoding.tensor("frames")))).toBeLessThan(
        2 * decoding.distances[`${dtype}/frames`]!,
      );
    });
  });
});

describe("the VAE of Wan 2.2", () => {
  test("leaves nothing behind but what it returns", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    scope(() => {
      using own = load();
      floats(own.encode({ video: video("video") }).mean);
      floats(own.decode({ latents: decoding.tensor("latents") }));
    });
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(before);
  });

  test("ends with the signal's reason while a chunk is computed, and frees everything", async () => {
    using latents = Tensor.zeros([1, 4, 2, 12, 12]);
    await synchronize();
    const before = memory().liveStorages;
    const controller = new AbortController();
    const reason = new Error("enough");
    const frames = vae.streamFrames({ latents, signal: controller.signal });
    const next = frames.next().catch((error: unknown) => error);
    controller.abort(reason);
    expect(await next).toBe(reason);
    expect(await frames.next()).toEqual({ value: undefined, done: true });
    await synchronize();
    expect(memory().liveStorages).toBe(before);
  });

  test("holds no more after many chunks than after three", async () => {
    using latents = Tensor.zeros([1, 4, 6, 4, 4]);
    const held: number[] = [];
    for await (const chunk of vae.streamFrames({ latents })) {
      chunk.dispose();
      await synchronize();
      held.push(memory().liveBytes);
    }
    expect(held.slice(3)).toEqual(Array(3).fill(held[2]));
  });
});
