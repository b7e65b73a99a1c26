import type { AttentionDispatcher, AttentionRequest } from "@wan-ts/attention";
import { loadParameters, type TensorSource } from "@wan-ts/nn";
import type { Device, DType } from "@wan-ts/tensor";
import type { VaeConfig } from "./config.ts";
import { decoderWidth } from "./decoder.ts";
import { encoderWidth } from "./encoder.ts";
import type { RowSplitter } from "./row-plan.ts";
import { WanVae } from "./wan-vae.ts";

/** What a VAE will ask of attention, known before its weights load: one head of all channels. */
export function vaeAttentionRequests(config: VaeConfig, dtype: DType, device: Device): AttentionRequest[] {
  const widths = new Set([encoderWidth(config), decoderWidth(config)]);
  return [...widths].map((headDim) => ({ device, dtype, headDim, mask: false, logSumExp: false }));
}

/** How {@link loadVae} makes a VAE. */
export interface LoadVaeOptions {
  readonly dtype: DType;
  readonly attention: AttentionDispatcher;
  /** What `enableParallelism` splits it with. */
  readonly splitRows?: RowSplitter | undefined;
}

/**
 * A VAE with weights from a checkpoint, cast to `dtype`. The caller disposes it.
 *
 * @throws {StateError} with every tensor that is missing, unexpected or misfitting.
 */
export function loadVae(config: VaeConfig, source: TensorSource, options: LoadVaeOptions): WanVae {
  const vae = new WanVae(config, options.attention, options.splitRows);
  try {
    loadParameters(vae, source, { dtype: options.dtype });
  } catch (error) {
    vae.dispose();
    throw error;
  }
  return vae;
}
