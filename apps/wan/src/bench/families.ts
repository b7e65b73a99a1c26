import { allToAllFamily } from "./all-to-all.ts";
import { attentionFamily } from "./attention.ts";
import { blocksFamily } from "./blocks.ts";
import type { BenchmarkFamily } from "./case.ts";
import { conv3dFamily } from "./conv3d.ts";
import { fusedFamily } from "./fused.ts";
import { linearFamily } from "./linear.ts";
import { pipelineFamily } from "./pipeline.ts";
import { ranksFamily } from "./ranks.ts";
import { textEncoderFamily } from "./text-encoder.ts";
import { vaeDecodeFamily, vaeEncodeFamily } from "./vae.ts";

/** The name of the machine's own peak, which is measured in each run anyway. */
export const peakName = "peak";

/** Every family of cases, in the order they run. On a CUDA device those without cases don't. */
export const families: readonly BenchmarkFamily[] = [
  linearFamily,
  attentionFamily,
  conv3dFamily,
  fusedFamily,
  blocksFamily,
  vaeDecodeFamily,
  vaeEncodeFamily,
  textEncoderFamily,
  pipelineFamily,
  allToAllFamily,
  ranksFamily,
];

/** Names of what runs on a CUDA device. */
export const cudaNames: readonly string[] = [
  peakName,
  ...families.filter(({ cases }) => cases.length > 0).map(({ name }) => name),
];

/** Names that this version answers as not available. */
export const unavailableNames: readonly string[] = ["cache"];
