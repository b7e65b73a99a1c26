import { AttentionDispatcher, type AttentionRequest } from "@wan-ts/attention";
import { chooseDegrees, requireAttentionOver, requireRowInvariance } from "@wan-ts/context-parallel";
import {
  clipVisionAttentionRequests,
  transformerAttentionRequests,
  umt5AttentionRequests,
  vaeAttentionRequests,
} from "@wan-ts/models";
import { defaultAttentionRegistry } from "./attention-backends.ts";
import type { WanCheckpoint } from "./checkpoint.ts";
import type { AttendingModel, LoadOptions } from "./components.ts";

/** Where each model's attention goes. */
export interface ModelAttention {
  readonly transformer: AttentionDispatcher;
  readonly transformer2: AttentionDispatcher | undefined;
  readonly textEncoder: AttentionDispatcher;
  readonly imageEncoder: AttentionDispatcher | undefined;
  readonly vae: AttentionDispatcher;
}

/**
 * Chooses the attention backends of a checkpoint's models. Those whose rows or heads ranks share out are
 * `rowInvariant`, unless `parallel.allowRowVariant`; the transformers ask for that when they are split.
 *
 * @throws {UnknownBackendError}, {UnsupportedAttentionError}, {ContextParallelError} `attention`.
 */
export function chooseModelAttention(checkpoint: WanCheckpoint, options: LoadOptions): ModelAttention {
  const { textEncoder, vae, imageEncoder, transformer, lowNoiseExpert } = checkpoint;
  const { dtype = "bfloat16", device = "cpu", parallel, parallelTextEncoder, attentionBackend } = options;
  const registry = options.attention ?? defaultAttentionRegistry();
  const several = (options.ranks?.world.size ?? 1) > 1;
  const dispatcher = (
    model: AttendingModel,
    requests: readonly AttentionRequest[],
    sharedOut?: string,
  ): AttentionDispatcher => {
    const attention = new AttentionDispatcher(registry, requests, backendOf(attentionBackend, model));
    if (several && sharedOut !== undefined && !parallel?.allowRowVariant) {
      requireRowInvariance(attention, sharedOut);
    }
    return attention;
  };
  return {
    textEncoder: dispatcher(
      "textEncoder",
      umt5AttentionRequests(textEncoder, dtype, device),
      parallelTextEncoder ? "heads of the text encoder" : undefined,
    ),
    vae: dispatcher(
      "vae",
      vaeAttentionRequests(vae, "float32", device),
      parallel ? "rows of the VAE" : undefined,
    ),
    transformer: dispatcher("transformer", transformerAttentionRequests(transformer, dtype, device)),
    transformer2:
      lowNoiseExpert &&
      dispatcher("transformer2", transformerAttentionRequests(lowNoiseExpert.transformer, dtype, device)),
    imageEncoder:
      imageEncoder &&
      dispatcher(
        "imageEncoder",
        clipVisionAttentionRequests(imageEncoder.encoder, "float32", device),
        parallel ? "heads of the image encoder" : undefined,
      ),
  };
}

/**
 * Makes sure that attention can be split over the ranks as `options` say, without any model: what loading
 * would refuse, for a process that plans a run or starts its ranks. Returns what loading would choose.
 *
 * @throws {UnknownBackendError}, {UnsupportedAttentionError}, {ContextParallelError}.
 */
export function checkModelAttention(checkpoint: WanCheckpoint, options: LoadOptions): ModelAttention {
  const attention = chooseModelAttention(checkpoint, options);
  const { parallel, ranks } = options;
  if (!parallel) return attention;
  const worldSize = ranks?.world.size ?? 1;
  for (const [dispatcher, config] of [
    [attention.transformer, checkpoint.transformer],
    [attention.transformer2, checkpoint.lowNoiseExpert?.transformer],
  ] as const) {
    if (!dispatcher || !config) continue;
    const degrees = chooseDegrees(parallel, { worldSize, heads: config.numAttentionHeads });
    requireAttentionOver(dispatcher, degrees, parallel);
  }
  return attention;
}

function backendOf(backend: LoadOptions["attentionBackend"], model: AttendingModel): string | undefined {
  if (typeof backend === "string") {
    return model === "transformer" || model === "transformer2" ? backend : undefined;
  }
  return backend?.[model] ?? (model === "transformer2" ? backend?.transformer : undefined);
}
