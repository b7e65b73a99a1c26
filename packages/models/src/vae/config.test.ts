import { describe, expect, test } from "bun:test";
import { ConfigError } from "../config-error.ts";
import { parseVaeConfig } from "./config.ts";

const file = "vae/config.json";

/** As published with Wan2.1, apart from the statistics, which are the defaults. */
const wan21 = {
  _class_name: "AutoencoderKLWan",
  _diffusers_version: "0.33.0.dev0",
  attn_scales: [],
  base_dim: 96,
  dim_mult: [1, 2, 4, 4],
  dropout: 0.0,
  num_res_blocks: 2,
  temperal_downsample: [false, true, true],
  z_dim: 16,
};

/** The shape of that published with Wan2.2-TI2V-5B. */
const wan22 = {
  ...wan21,
  base_dim: 160,
  clip_output: false,
  decoder_base_dim: 256,
  in_channels: 12,
  is_residual: true,
  latents_mean: Array.from({ length: 48 }, (_, index) => index / 48),
  latents_std: Array.from({ length: 48 }, (_, index) => 0.5 + index / 48),
  out_channels: 12,
  patch_size: 2,
  scale_factor_spatial: 16,
  scale_factor_temporal: 4,
  z_dim: 48,
};

function refusal(change: Record<string, unknown>): ConfigError {
  try {
    parseVaeConfig({ ...wan22, ...change }, file);
  } catch (error) {
    if (ConfigError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("the config was taken");
}

describe("parseVaeConfig", () => {
  test("reads Wan 2.1's, with diffusers' defaults for absent keys", () => {
    const { latentsMean, latentsStd, ...config } = parseVaeConfig(wan21, file);
    expect(config).toEqual({
      baseDim: 96,
      decoderBaseDim: 96,
      zDim: 16,
      dimMult: [1, 2, 4, 4],
      numResBlocks: 2,
      temporalDownsample: [false, true, true],
      isResidual: false,
      inChannels: 3,
      outChannels: 3,
      patchSize: null,
      scaleFactorTemporal: 4,
      scaleFactorSpatial: 8,
    });
    expect([latentsMean[0], latentsMean[15]]).toEqual([-0.7571, -0.2921]);
    expect([latentsStd[0], latentsStd[15]]).toEqual([2.8184, 1.916]);
  });

  test("reads the residual one of Wan 2.2", () => {
    expect(parseVaeConfig(wan22, file)).toMatchObject({
      decoderBaseDim: 256,
      isResidual: true,
      patchSize: 2,
      scaleFactorSpatial: 16,
      zDim: 48,
    });
  });

  test.each([
    ["base_dim", 0, "an integer from 1 to 4096"],
    ["z_dim", 100_000, "an integer from 1 to 1024"],
    ["dim_mult", [], "a list of 1 to 8 integers from 1 to 64"],
    ["dim_mult", 4, "a list of 1 to 8 integers from 1 to 64"],
    ["attn_scales", [1], "an empty list"],
    ["is_residual", "yes", "true or false"],
    ["num_res_blocks", 65, "an integer from 1 to 64"],
    ["_class_name", "AutoencoderKL", '"AutoencoderKLWan"'],
    ["temperal_downsample", [true, true], "a list of 3, one less than dim_mult, but has 2"],
    ["in_channels", 3, "12: red, green and blue of patch_size² = 4 pixels"],
    ["out_channels", 16, "12: red, green and blue of patch_size² = 4 pixels"],
    ["scale_factor_temporal", 8, "4, two for each true of temperal_downsample"],
    ["scale_factor_spatial", 8, "16, two for each step of dim_mult times patch_size"],
    ["dim_mult", [1, 2, 9, 4], "such that [2] divides 16, for the shortcuts of is_residual"],
    ["dim_mult", [1, 1, 8, 8], "such that [2] divides 4, for the shortcuts of is_residual"],
    ["latents_mean", [0, 1], "a list of z_dim = 48 numbers, but has 2"],
    ["latents_std", [1], "a list of z_dim = 48 numbers, but has 1"],
  ])("refuses %s %p", (key, value, allowed) => {
    expect(refusal({ [key]: value }).problems).toContainEqual({ key, found: JSON.stringify(value), allowed });
  });

  test("asks nothing of the levels of a VAE without shortcuts", () => {
    expect(parseVaeConfig({ ...wan21, dim_mult: [1, 2, 9, 4] }, file).dimMult).toEqual([1, 2, 9, 4]);
  });

  test("refuses statistics far beyond those of latents", () => {
    const key = {
      latents_mean: wan22.latents_mean.with(3, 1e30),
      latents_std: wan22.latents_std.with(2, 2e4),
    };
    const { message } = refusal(key);
    expect(message).toContain("latents_mean[3] is 1e+30, but must be a number from -10000 to 10000");
    expect(message).toContain("latents_std[2] is 20000, but must be a number above 0 and at most 10000");
  });

  test("refuses a standard deviation of 0, naming its channel", () => {
    const latentsStd = wan22.latents_std.with(7, 0);
    expect(refusal({ latents_std: latentsStd }).message).toBe(
      "vae/config.json: latents_std[7] is 0, but must be a number above 0 and at most 10000",
    );
  });
});
