import { parseVaeConfig, vaeAttentionRequests, WanVae } from "@wan-ts/models";
import { type Device, keep, scope, type Tensor } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkModel } from "./check-model.ts";
import { type BenchModel, benchAttention, countFlops, fillWithRandom } from "./random-model.ts";
import { uniformTensor } from "./values.ts";
import { type VideoSize, videos } from "./video-sizes.ts";

/** The VAE of Wan 2.1, whose sizes are the defaults. */
const config = parseVaeConfig({}, "the VAE of Wan 2.1");

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
    cudaCases: Object.values(videos).map((size) => vaeCase(direction, size, "bfloat16")),
  };
}

function vaeCase(direction: Direction, size: VideoSize, dtype: BenchDType): BenchmarkCase {
  const { frames, height, width } = size;
  return {
    case: `${frames} frames of ${height} × ${width}`,
    dtype,
    peer: { operation: `vae-${direction}`, dtype, frames, height, width },
    prepare(device) {
      const model = makeModel(dtype, device);
      const input = inputOf(direction, size, dtype, device);
      const run = (): Tensor => compute(model.module, direction, input);
      return {
        flops: countFlops(model, () => run().dispose()),
        run,
        check: (output) =>
          checkModel(output, {
            dtype,
            device,
            model,
            make: (where) => makeModel(dtype, where),
            compute: (vae, where) => {
              using few = inputOf(direction, checked, dtype, where);
              return compute(vae, direction, few);
            },
          }),
        [Symbol.dispose]() {
          input.dispose();
          model.module.dispose();
        },
      };
    },
  };
}

function makeModel(dtype: BenchDType, device: Device): BenchModel<WanVae> {
  const attention = benchAttention(vaeAttentionRequests(config, dtype, device));
  const module = new WanVae(config, attention);
  fillWithRandom(module, { dtype }, device);
  return { module, attention };
}

function inputOf(
  direction: Direction,
  { frames, height, width }: VideoSize,
  dtype: BenchDType,
  device: Device,
): Tensor {
  const { zDim, scaleFactorSpatial: spatial, scaleFactorTemporal: temporal } = config;
  const shape =
    direction === "encode"
      ? [1, 3, frames, height, width]
      : [1, zDim, (frames - 1) / temporal + 1, height / spatial, width / spatial];
  return uniformTensor(shape, dtype, 1, { device });
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
