import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import { StateError } from "@wan-ts/nn";
import {
  concatenate,
  memory,
  scope,
  setThreads,
  synchronize,
  synchronizeBlocking,
  Tensor,
  TensorError,
  threads,
} from "@wan-ts/tensor";
import { relativeL2 } from "../testing/expect-close.ts";
import { KernelAttention, kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseVaeConfig } from "./config.ts";
import { loadVae, vaeAttentionRequests } from "./load-vae.ts";
import type { WanVae } from "./wan-vae.ts";

/** What two right float32 implementations may part by; measured: encoder 9.3e-7, decoder 1.02e-6. */
const tolerance = 2e-6;

const weights = readFixture("vae-weights");
const config = parseVaeConfig(weights.config, "vae/config.json");
const encoding = readFixture("vae-encode");
const decoding = readFixture("vae-decode");
const load = () => loadVae(config, weights.checkpoint(), { dtype: "float32", attention: kernelDispatcher() });

let vae: WanVae;
beforeAll(() => {
  vae = load();
});
afterAll(() => vae.dispose());

const floats = (tensor: Tensor): Float32Array => tensor.floatsBlocking();
const firstFrames = (tensor: Tensor, frames: number): Tensor => tensor.slice(2, 0, frames);

describe("encode", () => {
  test.each([1, 5, 9, 17])("gives diffusers' moments of %p frames of 24 × 40", (frames) => {
    scope(() => {
      const { mean, logVariance } = vae.encode({ video: firstFrames(encoding.tensor("video"), frames) });
      const latentFrames = (frames - 1) / 4 + 1;
      expect(mean.shape).toEqual([1, 16, latentFrames, 3, 5]);
      const moments = firstFrames(encoding.tensor("moments"), latentFrames);
      expect(relativeL2(floats(mean), floats(moments.slice(1, 0, 16)))).toBeLessThan(tolerance);
      expect(relativeL2(floats(logVariance), floats(moments.slice(1, 16)))).toBeLessThan(tolerance);
    });
  });

  test("gives diffusers' moments of a batch of two", () => {
    scope(() => {
      const { mean, logVariance } = vae.encode({ video: encoding.tensor("batch.video") });
      const moments = encoding.tensor("batch.moments");
      expect(relativeL2(floats(concatenate([mean, logVariance], 1)), floats(moments))).toBeLessThan(
        tolerance,
      );
    });
  });

  test("holds the log variance within −30 and 20, as diffusers does", () => {
    scope(() => {
      using own = load();
      const bias = own.quantConv.bias;
      bias.set(Tensor.from([...Array(16).fill(0), ...Array(8).fill(-99), ...Array(8).fill(99)], bias.shape));
      const { logVariance } = own.encode({ video: encoding.tensor("batch.video") });
      expect(Math.min(...floats(logVariance))).toBe(-30);
      expect(Math.max(...floats(logVariance))).toBe(20);
    });
  });

  test.each([
    [[1, 3, 4, 24, 40], "one more than a multiple of 4"],
    [[1, 3, 0, 24, 40], "one more than a multiple of 4"],
    [[1, 3, 5, 20, 40], "multiples of 8"],
    [[1, 3, 5, 24, 0], "multiples of 8"],
    [[1, 4, 5, 24, 40], "[B, 3, F, H, W]"],
    [[3, 5, 24, 40], "[B, 3, F, H, W]"],
  ])("refuses a video of %p", (shape, told) => {
    using video = Tensor.zeros(shape);
    expect(() => vae.encode({ video })).toThrow(TensorError);
    expect(() => vae.encode({ video })).toThrow(told);
  });
});

describe("decode", () => {
  test.each([1, 5, 9, 17])("gives diffusers' %p frames of 24 × 40", (frames) => {
    scope(() => {
      const latents = firstFrames(decoding.tensor("latents"), (frames - 1) / 4 + 1);
      const video = vae.decode({ latents });
      expect(video.shape).toEqual([1, 3, frames, 24, 40]);
      const wanted = firstFrames(decoding.tensor("frames"), frames);
      expect(relativeL2(floats(video), floats(wanted))).toBeLessThan(tolerance);
    });
  });

  test("gives diffusers' frames of a batch of two, within −1 and 1", () => {
    scope(() => {
      const video = floats(vae.decode({ latents: decoding.tensor("batch.latents") }));
      expect(relativeL2(video, floats(decoding.tensor("batch.frames")))).toBeLessThan(tolerance);
      expect(Math.max(...video)).toBe(1);
      expect(Math.min(...video)).toBe(-1);
    });
  });

  test("gives the same bytes in chunks, by one thread and by two", async () => {
    const before = threads();
    const runs: Float32Array[] = [];
    try {
      for (const count of [1, 2]) {
        setThreads(count);
        using video = scope(() => vae.decode({ latents: decoding.tensor("latents") }));
        runs.push(await video.floats());
      }
    } finally {
      setThreads(before);
    }
    const chunks = scope(() =>
      [...vae.decodeFrames({ latents: decoding.tensor("latents") })].map((chunk) => ({
        frames: chunk.size(2),
        values: floats(chunk.permute([2, 0, 1, 3, 4])),
      })),
    );
    expect(chunks.map((chunk) => chunk.frames)).toEqual([1, 4, 4, 4, 4]);
    using whole = Tensor.from(runs[0]!, [1, 3, 17, 24, 40]);
    using byFrame = whole.permute([2, 0, 1, 3, 4]);
    expect(chunks.flatMap((chunk) => [...chunk.values])).toEqual([...floats(byFrame)]);
    expect(runs[1]).toEqual(runs[0]!);
  });

  test.each([[[1, 15, 2, 3, 5]], [[16, 2, 3, 5]], [[1, 16, 0, 3, 5]], [[1, 16, 2, 3, 0]]])(
    "refuses latents of %p at once",
    (shape) => {
      using latents = Tensor.zeros(shape);
      expect(() => vae.decode({ latents })).toThrow("[B, 16, F, H, W]");
      expect(() => vae.decodeFrames({ latents })).toThrow(TensorError);
    },
  );
});

describe.each(["bfloat16", "float16"] as const)("in %s", (dtype) => {
  // Two right implementations in 16 bits may each be as far from float32 as torch's is, in other directions.
  test("is as near to float32 as diffusers is", () => {
    scope(() => {
      using own = loadVae(config, weights.checkpoint(), { dtype, attention: kernelDispatcher() });
      expect(own.dtype).toBe(dtype);
      const { mean, logVariance } = own.encode({ video: encoding.tensor("video").to(dtype) });
      const moments = floats(concatenate([mean, logVariance], 1));
      const limit = 2 * encoding.distances[`${dtype}/moments`]!;
      expect(relativeL2(moments, floats(encoding.tensor("moments")))).toBeLessThan(limit);
      const video = own.decode({ latents: decoding.tensor("latents").to(dtype) });
      expect(video.dtype).toBe(dtype);
      const bound = 2 * decoding.distances[`${dtype}/frames`]!;
      expect(relativeL2(floats(video), floats(decoding.tensor("frames")))).toBeLessThan(bound);
    });
  });

  test("refuses float32, which it doesn't cast by itself", () => {
    scope(() => {
      using own = loadVae(config, weights.checkpoint(), { dtype, attention: kernelDispatcher() });
      expect(() => own.decode({ latents: decoding.tensor("latents") })).toThrow(TensorError);
    });
  });
});

describe("streamFrames", () => {
  test("gives each chunk once it is computed", async () => {
    using latents = decoding.tensor("latents");
    const parts: Float32Array[] = [];
    for await (const chunk of vae.streamFrames({ latents })) {
      using frames = chunk;
      parts.push(await frames.floats());
    }
    using whole = scope(() => vae.decode({ latents }));
    using first = whole.slice(2, 0, 1);
    using last = whole.slice(2, 13);
    expect(parts).toHaveLength(5);
    expect(parts[0]).toEqual(await first.floats());
    expect(parts[4]).toEqual(await last.floats());
  });

  test("ends with the signal's reason, and frees everything", async () => {
    using latents = decoding.tensor("latents");
    await synchronize();
    const before = memory().liveStorages;
    const controller = new AbortController();
    const reason = new Error("enough");
    let chunks = 0;
    const run = async (): Promise<void> => {
      for await (const chunk of vae.streamFrames({ latents, signal: controller.signal })) {
        chunk.dispose();
        if (++chunks === 2) controller.abort(reason);
      }
    };
    expect(await run().catch((error: unknown) => error)).toBe(reason);
    expect(chunks).toBe(2);
    await synchronize();
    expect(memory().liveStorages).toBe(before);
  });

  test("ends with the reason also while a chunk is computed", async () => {
    using latents = Tensor.zeros([1, 16, 2, 24, 24]);
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

  test("frees everything where the caller leaves early", async () => {
    using latents = decoding.tensor("latents");
    await synchronize();
    const before = memory().liveStorages;
    for await (const chunk of vae.streamFrames({ latents })) {
      chunk.dispose();
      break;
    }
    await synchronize();
    expect(memory().liveStorages).toBe(before);
  });
});

describe("WanVae", () => {
  test("leaves nothing behind but what it returns", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    scope(() => {
      using own = load();
      floats(own.encode({ video: encoding.tensor("video") }).mean);
      floats(own.decode({ latents: decoding.tensor("latents") }));
    });
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(before);
  });

  test("holds no more after many chunks than after three", async () => {
    using latents = Tensor.zeros([1, 16, 6, 4, 4]);
    const held: number[] = [];
    for await (const chunk of vae.streamFrames({ latents })) {
      chunk.dispose();
      await synchronize();
      held.push(memory().liveBytes);
    }
    expect(held.slice(3)).toEqual(Array(3).fill(held[2]));
  });

  test("states its attention before weights load, and sends it where it is told", () => {
    expect(vaeAttentionRequests(config, "float32", "cpu")).toEqual([
      { device: "cpu", dtype: "float32", headDim: 12, mask: false, logSumExp: false },
    ]);
    const wide = parseVaeConfig({ decoder_base_dim: 128 }, "config.json");
    expect(vaeAttentionRequests(wide, "float32", "cpu").map((one) => one.headDim)).toEqual([384, 512]);

    const [first, second] = [new KernelAttention("first"), new KernelAttention("second")];
    const attention = new AttentionDispatcher(new AttentionRegistry([first, second]), []);
    scope(() => {
      using own = loadVae(config, weights.checkpoint(), { dtype: "float32", attention });
      own.setAttentionBackend("second");
      floats(own.decode({ latents: decoding.tensor("batch.latents") }));
    });
    expect(first.keyShapes).toEqual([]);
    // Two latent frames, each of two samples: a frame's pixels attend to each other alone.
    expect(second.keyShapes).toEqual([
      [2, 2, 1, 12],
      [2, 2, 1, 12],
    ]);
  });

  test("names what is missing and unexpected in a checkpoint, and loads nothing", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    using extra = Tensor.zeros([1]);
    const checkpoint = weights.checkpoint({ "decoder.conv_in.bias": undefined, "decoder.extra": extra });
    let error: unknown;
    try {
      loadVae(config, checkpoint, { dtype: "float32", attention: kernelDispatcher() });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(StateError);
    expect((error as StateError).problems.map(({ kind, name }) => [kind, name])).toEqual([
      ["missing", "decoder.conv_in.bias"],
      ["unexpected", "decoder.extra"],
    ]);
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(before + 1);
  });
});
