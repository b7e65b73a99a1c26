import type { AttentionBackend, AttentionDispatcher } from "@wan-ts/attention";
import { ModuleNode } from "@wan-ts/nn";
import {
  Cancellation,
  clamp,
  concatenate,
  type DType,
  keep,
  scope,
  type Tensor,
  TensorError,
} from "@wan-ts/tensor";
import { CausalConv3d } from "./causal-conv3d.ts";
import type { VaeConfig } from "./config.ts";
import { VaeDecoder } from "./decoder.ts";
import { VaeEncoder } from "./encoder.ts";
import { FeatureCache } from "./feature-cache.ts";
import { UnsupportedVaeError } from "./unsupported-vae-error.ts";

/** A diagonal Gaussian over latents. */
export interface LatentDistribution {
  /** (B, zDim, T, H, W). The mode of the distribution too. */
  readonly mean: Tensor;
  /** (B, zDim, T, H, W), within −30 to 20. */
  readonly logVariance: Tensor;
}

const logVarianceBounds = [-30, 20] as const;

/**
 * The causal video autoencoder of Wan 2.1. Parameters are named as diffusers' `AutoencoderKLWan`
 * (`models/autoencoders/autoencoder_kl_wan.py`).
 *
 * A video goes through in chunks, the first of one frame and the rest of as many as a latent frame
 * stands for; each convolution over time remembers the frames before in a {@link FeatureCache}.
 * Inside, tensors are channels-last (B, T, H, W, C); B, C, T, H, W only at the methods here.
 */
export class WanVae extends ModuleNode {
  readonly config: VaeConfig;
  readonly encoder: VaeEncoder;
  readonly quantConv: CausalConv3d;
  readonly postQuantConv: CausalConv3d;
  readonly decoder: VaeDecoder;
  readonly #attention: AttentionDispatcher;

  /**
   * @param attention where the middle blocks' attention goes, made for `vaeAttentionRequests`.
   * @throws {UnsupportedVaeError} for the residual and patched VAE of Wan 2.2.
   */
  constructor(config: VaeConfig, attention: AttentionDispatcher) {
    super();
    if (config.isResidual) throw new UnsupportedVaeError("is_residual", "false", "true");
    if (config.patchSize !== null) throw new UnsupportedVaeError("patch_size", "null", `${config.patchSize}`);
    this.config = config;
    this.#attention = attention;
    this.encoder = this.child("encoder", new VaeEncoder(config, attention));
    this.quantConv = this.child("quant_conv", new CausalConv3d(2 * config.zDim, 2 * config.zDim, [1, 1, 1]));
    this.postQuantConv = this.child("post_quant_conv", new CausalConv3d(config.zDim, config.zDim, [1, 1, 1]));
    this.decoder = this.child("decoder", new VaeDecoder(config, attention));
  }

  /** The dtype that videos and latents must have. */
  get dtype(): DType {
    return this.quantConv.weight.value.dtype;
  }

  /**
   * Sends the middle blocks' attention to another backend, by name or as an object.
   *
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}; the backend then stays as it was.
   */
  setAttentionBackend(backend: string | AttentionBackend): void {
    this.#attention.use(backend);
  }

  /**
   * The distribution of latents of a video: (B, 3, F, H, W) in [−1, 1] → (B, zDim, F′, H′, W′), with
   * F = 1 + scaleFactorTemporal · (F′ − 1), H = scaleFactorSpatial · H′ and W so too. The caller
   * disposes both tensors.
   *
   * @throws {TensorError} `shape` for another shape.
   */
  encode({ video }: { readonly video: Tensor }): LatentDistribution {
    this.#checkVideo(video);
    return scope(() => {
      using cache = new FeatureCache();
      const pixels = channelsLast(video); // (B, F, H, W, 3)
      const chunks = chunkStarts(video.size(2), this.config.scaleFactorTemporal).map(([start, end]) =>
        this.encoder.call({ input: pixels.slice(1, start, end), cache }),
      );
      const moments = this.quantConv.call({ input: concatenate(chunks, 1), cache }); // (B, F′, H′, W′, 2·zDim)
      const [mean, logVariance] = channelsFirst(moments).chunk(2, 1) as [Tensor, Tensor];
      return { mean, logVariance: clamp(logVariance, ...logVarianceBounds) };
    });
  }

  /**
   * The video of latents: (B, zDim, F′, H′, W′) → (B, 3, F, H, W) in [−1, 1], a view of channels-last
   * memory. The caller disposes it.
   *
   * @throws {TensorError} `shape` for another shape.
   */
  decode({ latents }: { readonly latents: Tensor }): Tensor {
    return scope(() => channelsFirst(concatenate([...this.decodeFrames({ latents })].map(channelsLast), 1)));
  }

  /**
   * The video of latents in chunks, each submitted when it is asked for: (B, 3, 1, H, W), then
   * (B, 3, scaleFactorTemporal, H, W) for each latent frame. The caller disposes them, and either
   * takes all or calls `return`, as `for … of` does.
   *
   * @throws {TensorError} `shape` for another shape.
   */
  decodeFrames({ latents }: { readonly latents: Tensor }): Generator<Tensor, void, void> {
    this.#checkLatents(latents);
    return this.#decodeChunks(latents);
  }

  /**
   * {@link decodeFrames}, each chunk once it is computed. Until the caller asks for the next, nothing
   * is computed, so memory holds one chunk.
   *
   * @throws {TensorError} `shape` for another shape; the signal's reason once it aborts.
   */
  async *streamFrames({
    latents,
    signal,
  }: {
    readonly latents: Tensor;
    readonly signal?: AbortSignal | undefined;
  }): AsyncGenerator<Tensor, void, void> {
    using cancellation = new Cancellation(signal);
    const chunks = this.decodeFrames({ latents });
    try {
      for (;;) {
        const { value: chunk } = cancellation.run(() => chunks.next());
        if (!chunk) return;
        await computed(chunk, signal);
        yield chunk;
      }
    } finally {
      chunks.return();
    }
  }

  *#decodeChunks(latents: Tensor): Generator<Tensor, void, void> {
    using cache = new FeatureCache();
    using hidden = keep(
      scope(() => this.postQuantConv.call({ input: channelsLast(latents), cache })), // (B, F′, H′, W′, zDim)
    );
    for (let frame = 0; frame < hidden.size(1); frame++) {
      yield scope(() => {
        const pixels = this.decoder.call({ input: hidden.slice(1, frame, frame + 1), cache });
        return channelsFirst(clamp(pixels, -1, 1));
      });
    }
  }

  #checkVideo(video: Tensor): void {
    const { inChannels, scaleFactorTemporal: temporal, scaleFactorSpatial: spatial } = this.config;
    const [, channels, frames = 0, height = 0, width = 0] = video.shape;
    const fits =
      video.rank === 5 &&
      channels === inChannels &&
      frames > 0 &&
      (frames - 1) % temporal === 0 &&
      [height, width].every((size) => size > 0 && size % spatial === 0);
    if (fits) return;
    const expected =
      `[B, ${inChannels}, F, H, W] with F one more than a multiple of ${temporal}, ` +
      `H and W multiples of ${spatial}`;
    throw shapeError("vaeEncode", "video", expected, video);
  }

  #checkLatents(latents: Tensor): void {
    const [, channels, ...extents] = latents.shape;
    const fits = latents.rank === 5 && channels === this.config.zDim && extents.every((extent) => extent > 0);
    if (fits) return;
    const expected = `[B, ${this.config.zDim}, F, H, W] without empty dimensions`;
    throw shapeError("vaeDecode", "latents", expected, latents);
  }
}

/** [start, end) of the first frame, then of each group of `size`. */
function chunkStarts(frames: number, size: number): [start: number, end: number][] {
  const groups = (frames - 1) / size;
  return [
    [0, 1],
    ...Array.from({ length: groups }, (_, group): [number, number] => [
      1 + group * size,
      1 + (group + 1) * size,
    ]),
  ];
}

/** (B, C, T, H, W) → (B, T, H, W, C), a view. */
function channelsLast(video: Tensor): Tensor {
  return video.permute([0, 2, 3, 4, 1]);
}

/** (B, T, H, W, C) → (B, C, T, H, W), a view. */
function channelsFirst(video: Tensor): Tensor {
  return video.permute([0, 4, 1, 2, 3]);
}

/** Waits until a tensor is computed, by reading one element; disposes it where that fails. */
async function computed(tensor: Tensor, signal: AbortSignal | undefined): Promise<void> {
  using element = scope(() => tensor.shape.reduce((part, _, dim) => part.slice(dim, 0, 1), tensor));
  try {
    await element.rawBytes();
  } catch (error) {
    tensor.dispose();
    // What was cut short says only that it was; the signal knows why.
    signal?.throwIfAborted();
    throw error;
  }
}

function shapeError(operation: string, argument: string, expected: string, tensor: Tensor): TensorError {
  const found = `[${tensor.shape.join(", ")}]`;
  const message = `${operation}: ${argument} must be ${expected}, but is ${found}`;
  return new TensorError({ code: "shape", operation, argument, expected, found, message });
}
