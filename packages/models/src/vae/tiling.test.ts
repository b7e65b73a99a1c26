import { describe, expect, test } from "bun:test";
import { AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import {
  concatenate,
  memory,
  multiply,
  resetPeakMemory,
  scope,
  setThreads,
  synchronize,
  synchronizeBlocking,
  Tensor,
  TensorError,
  threads,
} from "@wan-ts/tensor";
import { relativeL2 } from "../testing/expect-close.ts";
import { KernelAttention } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseVaeConfig } from "./config.ts";
import { loadVae } from "./load-vae.ts";
import type { VaeTiling } from "./tiling.ts";
import type { LatentDistribution, WanVae } from "./wan-vae.ts";

/** What two right float32 implementations may part by; measured: encoders 8.1e-7, decoders 1.2e-6. */
const tolerance = 2e-6;

const tilesOf = (size: number, stride: number): VaeTiling => ({
  tileSampleMinHeight: size,
  tileSampleMinWidth: size,
  tileSampleStrideHeight: stride,
  tileSampleStrideWidth: stride,
});

const cases = [
  { name: "Wan 2.1", weights: "vae-weights", fixture: "vae-tiling", tiles: tilesOf(32, 24) },
  {
    name: "Wan 2.2",
    weights: "vae-residual-weights",
    fixture: "vae-residual-tiling",
    tiles: tilesOf(32, 16),
  },
].map((one) => {
  const weights = readFixture(one.weights);
  const config = parseVaeConfig(weights.config, "vae/config.json");
  const load = (dtype: "float32" | "bfloat16" | "float16" = "float32") => {
    const backend = new KernelAttention();
    const attention = new AttentionDispatcher(new AttentionRegistry([backend]), []);
    // Pixels that attend to each other, of each frame, are those of a tile.
    const attended = () => backend.keyShapes.splice(0).map(([samples, pixels]) => [samples, pixels]);
    return { vae: loadVae(config, weights.checkpoint(), { dtype, attention }), attended };
  };
  const fixture = readFixture(one.fixture);
  return { ...one, config, load, fixture, video: () => fixture.tensor("video").to("float32") };
});
const [plain, residual] = cases as [(typeof cases)[number], (typeof cases)[number]];

const floats = (tensor: Tensor): Float32Array => tensor.floatsBlocking();
const moments = ({ mean, logVariance }: LatentDistribution): Tensor => concatenate([mean, logVariance], 1);
/** Two samples that differ. */
const twice = (tensor: Tensor): Tensor => concatenate([tensor, multiply(tensor, -1)], 0);

/** What `body` gives; the VAE is disposed. */
function within<Result>(vae: WanVae, body: () => Result): Result {
  try {
    return scope(body);
  } finally {
    vae.dispose();
  }
}

describe.each(cases)("the VAE of $name in tiles", ({ load, fixture, tiles, video, config }) => {
  test("gives diffusers' moments and frames of 48 × 64", () => {
    const { vae } = load();
    within(vae, () => {
      vae.enableTiling(tiles);
      const encoded = moments(vae.encode({ video: video() }));
      expect(encoded.shape).toEqual(fixture.tensor("moments").shape);
      expect(relativeL2(floats(encoded), floats(fixture.tensor("moments")))).toBeLessThan(tolerance);
      const decoded = vae.decode({ latents: fixture.tensor("latents") });
      expect(decoded.shape).toEqual([1, 3, 5, 48, 64]);
      expect(relativeL2(floats(decoded), floats(fixture.tensor("frames")))).toBeLessThan(tolerance);
    });
  });

  test.each(["bfloat16", "float16"] as const)("is as near to float32 as diffusers is in %s", (dtype) => {
    const { vae } = load(dtype);
    within(vae, () => {
      vae.enableTiling(tiles);
      const encoded = moments(vae.encode({ video: video().to(dtype) }));
      const decoded = vae.decode({ latents: fixture.tensor("latents").to(dtype) });
      for (const [what, found] of [["moments", encoded] as const, ["frames", decoded] as const]) {
        expect(found.dtype).toBe(dtype);
        expect(relativeL2(floats(found), floats(fixture.tensor(what)))).toBeLessThan(
          2 * fixture.distances[`${dtype}/${what}`]!,
        );
      }
    });
  });

  test("gives the same bytes in chunks, by one thread and by two", () => {
    const before = threads();
    const { vae } = load();
    within(vae, () => {
      vae.enableTiling(tiles);
      try {
        const runs = [1, 2].map((count) => {
          setThreads(count);
          const encoded = floats(moments(vae.encode({ video: video() })));
          return [encoded, floats(vae.decode({ latents: fixture.tensor("latents") }))];
        });
        expect(runs[1]).toEqual(runs[0]!);
        const chunks = [...vae.decodeFrames({ latents: fixture.tensor("latents") })];
        expect(chunks.map((chunk) => chunk.size(2))).toEqual([1, 4]);
        expect(floats(concatenate(chunks, 2))).toEqual(runs[0]![1]!);
      } finally {
        setThreads(before);
      }
    });
  });

  test("gives the same bytes with samples one after the other", () => {
    const { vae, attended } = load();
    within(vae, () => {
      for (const tiled of [false, true]) {
        if (tiled) vae.enableTiling(tiles);
        const run = () => [
          floats(moments(vae.encode({ video: twice(video()) }))),
          floats(vae.decode({ latents: twice(fixture.tensor("latents")) })),
        ];
        vae.disableSlicing();
        const together = run();
        expect(new Set(attended().map(([samples]) => samples))).toEqual(new Set([2]));
        vae.enableSlicing();
        expect(run()).toEqual(together);
        expect(new Set(attended().map(([samples]) => samples))).toEqual(new Set([1]));
      }
    });
  });

  test("leaves nothing behind but what it returns, also where the caller leaves early", () => {
    synchronizeBlocking();
    const before = memory().liveStorages;
    for (const sliced of [false, true]) {
      const { vae } = load();
      within(vae, () => {
        vae.enableTiling(tiles);
        if (sliced) vae.enableSlicing();
        const [height, width] = [32 / config.scaleFactorSpatial, 48 / config.scaleFactorSpatial];
        const latents = Tensor.zeros([2, config.zDim, 2, height, width]);
        floats(vae.encode({ video: Tensor.zeros([2, 3, 5, 32, 48]) }).mean);
        floats(vae.decode({ latents }));
        for (const chunk of vae.decodeFrames({ latents })) {
          floats(chunk);
          break;
        }
      });
    }
    synchronizeBlocking();
    expect(memory().liveStorages).toBe(before);
  });

  test("ends with the signal's reason while tiles are computed, and frees everything", async () => {
    const { vae } = load();
    try {
      vae.enableTiling(tiles);
      const extent = 96 / config.scaleFactorSpatial;
      using latents = Tensor.zeros([1, config.zDim, 2, extent, extent]);
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
    } finally {
      vae.dispose();
    }
  });

  test("computes a tile's chunk at a time while it streams, and the same bytes", async () => {
    const { vae, attended } = load();
    try {
      vae.enableTiling(tiles);
      using latents = fixture.tensor("latents");
      const whole = scope(() => floats(vae.decode({ latents })));
      const tilesInAll = attended().length / 2;
      const stream = vae.streamFrames({ latents });
      const first = stream.next();
      expect(attended()).toHaveLength(1);
      const chunks = [(await first).value as Tensor];
      expect(attended()).toHaveLength(2 * tilesInAll - 1);
      for await (const chunk of stream) chunks.push(chunk);
      expect(attended()).toEqual([]);
      expect(scope(() => floats(concatenate(chunks, 2)))).toEqual(whole);
      for (const chunk of chunks) chunk.dispose();
    } finally {
      vae.dispose();
    }
  });
});

test("decoding in tiles takes less memory than whole frames do", async () => {
  const { vae } = plain.load();
  try {
    using latents = Tensor.zeros([1, plain.config.zDim, 2, 16, 16]);
    const peak = async (): Promise<number> => {
      await synchronize();
      const held = memory().liveBytes;
      resetPeakMemory();
      for await (const chunk of vae.streamFrames({ latents })) chunk.dispose();
      return memory().peakBytes - held;
    };
    const whole = await peak();
    vae.enableTiling(plain.tiles);
    expect(await peak()).toBeLessThan(whole / 2);
  } finally {
    vae.dispose();
  }
});

describe("enableTiling", () => {
  test("cuts only what is larger than a tile, in height or in width", () => {
    const { vae, attended } = plain.load();
    within(vae, () => {
      vae.enableTiling(tilesOf(32, 24));
      const pixelsOf = (height: number, width: number) => {
        vae.encode({ video: Tensor.zeros([1, 3, 1, height, width]) });
        const encoded = attended().map(([, pixels]) => pixels);
        vae.decode({ latents: Tensor.zeros([1, 16, 1, height / 8, width / 8]) });
        expect(attended().map(([, pixels]) => pixels)).toEqual(encoded);
        return encoded;
      };
      expect(pixelsOf(32, 32)).toEqual([16]);
      expect(pixelsOf(32, 40)).toEqual([16, 8, 4, 2]);
      expect(pixelsOf(40, 16)).toEqual([8, 4]);
      vae.disableTiling();
      expect(pixelsOf(40, 16)).toEqual([10]);
    });
  });

  test("compares pixels, but cuts tiles of as many patches, where the VAE has patches and encodes", () => {
    const { vae, attended } = residual.load();
    within(vae, () => {
      vae.enableTiling(tilesOf(32, 16));
      vae.encode({ video: Tensor.zeros([1, 3, 1, 48, 32]) });
      expect(attended()).toEqual([
        [1, 6],
        [1, 2],
      ]);
      vae.decode({ latents: Tensor.zeros([1, 4, 1, 3, 2]) });
      expect(attended()).toEqual([
        [1, 4],
        [1, 2],
        [1, 4],
        [1, 2],
        [1, 2],
        [1, 1],
      ]);
    });
  });

  test("keeps what isn't given: at first tiles of 256 with a stride of 192", () => {
    const { vae } = plain.load();
    within(vae, () => {
      expect(vae.tiling).toBeUndefined();
      vae.enableTiling();
      expect(vae.tiling).toEqual(tilesOf(256, 192));
      vae.enableTiling({ tileSampleMinWidth: 320 });
      vae.disableTiling();
      expect(vae.tiling).toBeUndefined();
      vae.enableTiling({ tileSampleStrideHeight: 128 });
      expect(vae.tiling).toEqual({
        ...tilesOf(256, 192),
        tileSampleMinWidth: 320,
        tileSampleStrideHeight: 128,
      });
    });
  });

  test.each([
    [{ tileSampleMinHeight: 0 }, "tileSampleMinHeight must be a multiple of 16 above 0, but is 0"],
    [{ tileSampleMinWidth: 200 }, "tileSampleMinWidth must be a multiple of 16 above 0, but is 200"],
    [{ tileSampleMinWidth: Number.NaN }, "tileSampleMinWidth must be a multiple of 16 above 0, but is NaN"],
    [
      { tileSampleMinHeight: 128 },
      "tileSampleStrideHeight must be a multiple of 16 above 0, and at most tileSampleMinHeight, 128, but is 192",
    ],
    [
      { tileSampleStrideWidth: 24 },
      "tileSampleStrideWidth must be a multiple of 16 above 0, and at most tileSampleMinWidth, 256, but is 24",
    ],
    [
      { tileSampleStrideWidth: -16 },
      "tileSampleStrideWidth must be a multiple of 16 above 0, and at most tileSampleMinWidth, 256, but is -16",
    ],
  ])("refuses %p, and changes nothing", (sizes, told) => {
    const { vae } = residual.load();
    within(vae, () => {
      let error: unknown;
      try {
        vae.enableTiling(sizes);
      } catch (thrown) {
        error = thrown;
      }
      expect(TensorError.isInstance(error)).toBe(true);
      expect(error).toMatchObject({ code: "argument", operation: "enableTiling" });
      expect((error as TensorError).message).toBe(`enableTiling: ${told}`);
      expect(vae.tiling).toBeUndefined();
      vae.enableTiling();
      expect(vae.tiling).toEqual(tilesOf(256, 192));
    });
  });

  test("doesn't reach videos whose chunks are already asked for", () => {
    const { vae, attended } = plain.load();
    within(vae, () => {
      const chunks = vae.decodeFrames({ latents: Tensor.zeros([1, 16, 1, 6, 6]) });
      vae.enableTiling(tilesOf(32, 24));
      expect([...chunks]).toHaveLength(1);
      expect(attended()).toEqual([[1, 36]]);
    });
  });
});
