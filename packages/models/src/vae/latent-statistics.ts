import { add, type Device, divide, multiply, scope, subtract, Tensor } from "@wan-ts/tensor";
import type { VaeConfig } from "./config.ts";

/** Mean and standard deviation of latents by channel, as a VAE's config has them. */
export type LatentStatistics = Pick<VaeConfig, "latentsMean" | "latentsStd">;

/**
 * Latents as the VAE has them, float32 (B, C, T, H, W), to what the transformer works on:
 * (latents − mean) · (1 / deviation), by channel, rounded where diffusers' pipelines round.
 */
export function normalizeLatents(latents: Tensor, statistics: LatentStatistics): Tensor {
  return scope(() => {
    const { mean, inverseDeviation } = tensorsOf(statistics, latents.device);
    return multiply(subtract(latents, mean), inverseDeviation);
  });
}

/** The inverse of {@link normalizeLatents}: latents / (1 / deviation) + mean. */
export function denormalizeLatents(latents: Tensor, statistics: LatentStatistics): Tensor {
  return scope(() => {
    const { mean, inverseDeviation } = tensorsOf(statistics, latents.device);
    return add(divide(latents, inverseDeviation), mean);
  });
}

function tensorsOf(
  { latentsMean, latentsStd }: LatentStatistics,
  device: Device,
): {
  mean: Tensor;
  inverseDeviation: Tensor;
} {
  const shape = [1, latentsMean.length, 1, 1, 1];
  return {
    mean: Tensor.from(latentsMean, shape, "float32", device),
    // The reciprocal of the float32 deviation; storing it rounds it as a float32 division would.
    inverseDeviation: Tensor.from(
      latentsStd.map((deviation) => 1 / Math.fround(deviation)),
      shape,
      "float32",
      device,
    ),
  };
}
