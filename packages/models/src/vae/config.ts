import { z } from "zod";
import {
  acrossKeys,
  camelCased,
  flag,
  integer,
  noQuantization,
  oneOf,
  parseConfig,
  width,
} from "../config-schema.ts";

/** Red, green and blue. */
export const imageChannels = 3;
const maxLatentChannels = 1_024;
const maxLevels = 8;

/** Mean of each latent channel over the training videos of Wan 2.1. */
const wan21LatentsMean = [
  -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
  -0.1922, -0.9497, 0.2503, -0.2921,
];
/** Standard deviation of each latent channel over the training videos of Wan 2.1. */
const wan21LatentsStd = [
  2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
  1.1253, 2.8251, 1.916,
];

/** Latents are of order 1; statistics far beyond are a damaged file's, and overflow what they are computed in. */
const largestLatent = 1e4;
const latentMeanAllowed = `a number from -${largestLatent} to ${largestLatent}`;
const latentMean = z
  .number({ error: latentMeanAllowed })
  .min(-largestLatent, { error: latentMeanAllowed })
  .max(largestLatent, { error: latentMeanAllowed });
const latentStdAllowed = `a number above 0 and at most ${largestLatent}`;
const latentStd = z
  .number({ error: latentStdAllowed })
  .positive({ error: latentStdAllowed })
  .max(largestLatent, { error: latentStdAllowed });

/** A list of 1 to `most` of `item`. */
function list<Item extends z.ZodType>(item: Item, most: number, allowed: string) {
  const error = `a list of 1 to ${most} ${allowed}`;
  return z.array(item, { error }).min(1, { error }).max(most, { error });
}

/**
 * `config.json` of a diffusers `AutoencoderKLWan` (Wan 2.1, and the residual one of Wan 2.2). Keys
 * that a file leaves out have the defaults of that class; keys that it has beside these are left out.
 * After diffusers `models/autoencoders/autoencoder_kl_wan.py`.
 */
export const vaeConfigSchema = z
  .object(
    {
      _class_name: oneOf(["AutoencoderKLWan"]).optional(),
      quantization_config: noQuantization(),
      /** Channels of the encoder's first level. */
      base_dim: integer(1, 4096).default(96),
      /** Channels of the decoder's last level. `null` means as many as `base_dim`. */
      decoder_base_dim: integer(1, 4096).nullable().default(null),
      /** Latent channels. */
      z_dim: integer(1, maxLatentChannels).default(16),
      /** Channels of each level, in `base_dim`s. */
      dim_mult: list(integer(1, 64), maxLevels, "integers from 1 to 64").default([1, 2, 4, 4]),
      num_res_blocks: integer(1, 64).default(2),
      /** Attention at levels other than the middle one: no Wan checkpoint has any. */
      attn_scales: z
        .array(z.number(), { error: "an empty list" })
        .max(0, { error: "an empty list" })
        .default([]),
      /** Whether the step from each level to the next halves the frames too. */
      temperal_downsample: list(flag(), maxLevels, "of true or false").default([false, true, true]),
      latents_mean: list(latentMean, maxLatentChannels, "numbers").default(wan21LatentsMean),
      latents_std: list(latentStd, maxLatentChannels, "numbers").default(wan21LatentsStd),
      /** Whether levels have the averaging and repeating shortcuts of Wan 2.2. */
      is_residual: flag().default(false),
      in_channels: width().default(imageChannels),
      out_channels: width().default(imageChannels),
      /** Side of the squares of pixels that are folded into channels, or `null`. */
      patch_size: integer(1, 16).nullable().default(null),
      /** Frames, after the first, that one latent frame stands for. */
      scale_factor_temporal: integer(1, 256).default(4),
      /** Pixels, in height and in width, that one latent pixel stands for. */
      scale_factor_spatial: integer(1, 4096).default(8),
    },
    { error: "a JSON object" },
  )
  .superRefine(
    acrossKeys((config, report) => {
      const steps = config.dim_mult.length - 1;
      if (config.temperal_downsample.length !== steps) {
        report(
          "temperal_downsample",
          `a list of ${steps}, one less than dim_mult, but has ${config.temperal_downsample.length}`,
        );
      }
      for (const key of ["latents_mean", "latents_std"] as const) {
        if (config[key].length !== config.z_dim) {
          report(key, `a list of z_dim = ${config.z_dim} numbers, but has ${config[key].length}`);
        }
      }
      const patch = config.patch_size ?? 1;
      for (const key of ["in_channels", "out_channels"] as const) {
        if (config[key] !== imageChannels * patch ** 2) {
          report(
            key,
            `${imageChannels * patch ** 2}: red, green and blue of patch_size² = ${patch ** 2} pixels`,
          );
        }
      }
      const temporal = 2 ** config.temperal_downsample.filter(Boolean).length;
      if (config.scale_factor_temporal !== temporal) {
        report("scale_factor_temporal", `${temporal}, two for each true of temperal_downsample`);
      }
      if (config.is_residual) {
        for (const problem of shortcutProblems(config)) report("dim_mult", problem);
      }
      const spatial = 2 ** steps * patch;
      if (config.scale_factor_spatial !== spatial) {
        report("scale_factor_spatial", `${spatial}, two for each step of dim_mult times patch_size`);
      }
    }),
  )
  .transform(camelCased)
  .transform(({ temperalDownsample, ...config }) => ({
    ...config,
    // diffusers' own spelling stays in the file.
    temporalDownsample: temperalDownsample,
    decoderBaseDim: config.decoderBaseDim ?? config.baseDim,
  }));

/**
 * What the shortcuts of a residual VAE ask of the levels' widths: they average or repeat whole runs of
 * channels, with the frames and pixels folded into them where a level changes the size.
 */
function shortcutProblems(config: {
  readonly dim_mult: readonly number[];
  readonly temperal_downsample: readonly boolean[];
}): string[] {
  const { dim_mult: multiples, temperal_downsample: temporal } = config;
  const folded = (step: number): number => {
    if (step < 0 || step >= temporal.length) return 1;
    return temporal[step] ? 8 : 4;
  };
  return multiples.flatMap((multiple, level) => {
    const before = multiples[level - 1] ?? 1;
    // The encoder's shortcut into this level; the decoder's out of it, to the level before.
    const limits = new Set([before * folded(level)]);
    if (level > 1) limits.add(before * folded(level - 2));
    return [...limits]
      .filter((limit) => limit % multiple !== 0)
      .map((limit) => `such that [${level}] divides ${limit}, for the shortcuts of is_residual`);
  });
}

/** A checked {@link vaeConfigSchema}, in camelCase; `decoderBaseDim` is always a number. */
export type VaeConfig = z.output<typeof vaeConfigSchema>;

/**
 * Parses the content of a Wan VAE's `config.json`; `file` names it in errors.
 *
 * @throws ConfigError
 */
export function parseVaeConfig(json: unknown, file: string): VaeConfig {
  return parseConfig(vaeConfigSchema, json, file);
}
