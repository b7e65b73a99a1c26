import { parseVaeConfig, vaeAttentionRequests, WanVae } from "@wan-ts/models";
import { allFinite, keep, scope, type Tensor } from "@wan-ts/tensor";
import { type BenchDType, type BenchmarkCase, BenchmarkError, type BenchmarkFamily } from "./case.ts";
import { benchAttention, checkAgainstPlainKernels, countFlops, fillWithRandom } from "./random-model.ts";
import { uniformTensor } from "./values.ts";

/** The VAE of Wan 2.1, whose sizes are the defaults. */
const config = parseVaeConfig({}, "the VAE of Wan 2.1");

/** A video's size in frames and pixels. */
interface VideoSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}
const sizes: readonly VideoSize[] = [
  { frames: 5, height: 64, width: 64 },
  { frames: 9, height: 240, width: 416 },
];
const checked: VideoSize = { frames: 5, height: 16, width: 16 };

type Direction = "decode" | "encode";

/** Latents to frames. */
export const vaeDecodeFamily = vaeFamily("decode");
/** Frames to latents. */
export const vaeEncodeFamily = vaeFamily("encode");

function vaeFamily(direction: Direction): BenchmarkFamily {
  return {
    name: `vae-${direction}`,
    cases: sizes.flatMap((size) =>
      (["bfloat16", "float32"] as const).map((dtype) => vaeCase(direction, size, dtype)),
    ),
  };
}

function vaeCase(direction: Direction, size: VideoSize, dtype: BenchDType): BenchmarkCase {
  const { frames, height, width } = size;
  return {
    case: `${frames} frames of ${height} × ${width}`,
    dtype,
    peer: { operation: `vae-${direction}`, dtype, frames, height, width },
    prepare() {
      const attention = benchAttention(vaeAttentionRequests(config, dtype, "cpu"));
      const vae = new WanVae(config, attention);
      fillWithRandom(vae, { dtype });
      const input = inputOf(direction, size, dtype);
      const run = (): Tensor => compute(vae, direction, input);
      return {
        flops: countFlops(vae, attention, () => run().dispose()),
        run,
        async check(output) {
          if (!(await allFinite(output))) throw new BenchmarkError(Number.NaN, 0, 0, "the whole output");
          using few = inputOf(direction, checked, dtype);
          await checkAgainstPlainKernels(attention, dtype, () => compute(vae, direction, few));
        },
        [Symbol.dispose]() {
          input.dispose();
          vae.dispose();
        },
      };
    },
  };
}

function inputOf(direction: Direction, { frames, height, width }: VideoSize, dtype: BenchDType): Tensor {
  const { zDim, scaleFactorSpatial: spatial, scaleFactorTemporal: temporal } = config;
  const shape =
    direction === "encode"
      ? [1, 3, frames, height, width]
      : [1, zDim, (frames - 1) / temporal + 1, height / spatial, width / spatial];
  return uniformTensor(shape, dtype, 1);
}

function compute(vae: WanVae, direction: Direction, input: Tensor): Tensor {
  if (direction === "decode") return vae.decode({ latents: input });
  return keep(
    scope(() => {
      const { mean } = vae.encode({ video: input });
      return mean;
    }),
  );
}
