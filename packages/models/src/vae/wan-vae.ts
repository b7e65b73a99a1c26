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
import { imageChannels, type VaeConfig } from "./config.ts";
import { type DecodePlan, type DecodeStep, decodeSteps } from "./decode-steps.ts";
import { VaeDecoder } from "./decoder.ts";
import { VaeEncoder } from "./encoder.ts";
import { FeatureCache } from "./feature-cache.ts";
import { patchify, unpatchify } from "./patches.ts";
import { type RowSplitter, vaeRowPlan } from "./row-plan.ts";
import { crop, joinTiles, type Region, tileLayout, tileRegions } from "./tiles.ts";
import { changedTiling, defaultTiling, type VaeTiling } from "./tiling.ts";

/** A diagonal Gaussian over latents. */
export interface LatentDistribution {
  /** (B, zDim, T, H, W). The mode of the distribution too. */
  readonly mean: Tensor;
  /** (B, zDim, T, H, W), within −30 to 20. */
  readonly logVariance: Tensor;
}

const logVarianceBounds = [-30, 20] as const;

/**
 * The causal video autoencoder of Wan 2.1, and the residual and patched one of Wan 2.2: the config
 * says which. Parameters are named as diffusers' `AutoencoderKLWan`
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
  readonly #splitRows: RowSplitter | undefined;
  #joinRows: (() => void) | undefined;
  #tiling: VaeTiling = defaultTiling;
  #tilingEnabled = false;
  #slicingEnabled = false;

  /**
   * @param attention where the middle blocks' attention goes, made for `vaeAttentionRequests`.
   * @param splitRows what {@link enableParallelism} splits the model with.
   */
  constructor(config: VaeConfig, attention: AttentionDispatcher, splitRows?: RowSplitter) {
    super();
    this.config = config;
    this.#attention = attention;
    this.#splitRows = splitRows;
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

  /** Whether the rows of frames are shared out. */
  get parallel(): boolean {
    return this.#joinRows !== undefined;
  }

  /**
   * Has the rows of frames shared out from the next video on, before or after a first one; frames and
   * latents stay the same. Frames in tiles have the rows of each tile shared out. Another call changes
   * nothing.
   *
   * @throws {TensorError} `argument` where the model was made without anything to split it with;
   * what that throws. The model then stays whole.
   */
  enableParallelism(): void {
    if (!this.#splitRows) {
      const expected = "called on a VAE of a pipeline, which knows the ranks";
      throw TensorError.argument("enableParallelism", "vae", expected, "one without anything to split rows");
    }
    this.#joinRows ??= this.#splitRows(this, vaeRowPlan(this));
  }

  /** Takes frames whole again, from the next video on. */
  disableParallelism(): void {
    this.#joinRows?.();
    this.#joinRows = undefined;
  }

  /** The tiles in which frames larger than one are taken; undefined while tiling is off. */
  get tiling(): VaeTiling | undefined {
    return this.#tilingEnabled ? this.#tiling : undefined;
  }

  /** Whether the samples of a batch are taken one after the other. */
  get slicing(): boolean {
    return this.#slicingEnabled;
  }

  /**
   * Takes frames that are larger than a tile, in height or in width, in overlapping tiles from now on,
   * each for itself, and blends them: less memory, for slightly other values, as attention and
   * convolutions don't see past a tile. Sizes left out stay as they were.
   *
   * @throws {TensorError} `argument` for sizes that aren't multiples of `scaleFactorSpatial`, and for a
   * stride above the tile's size. Nothing changes then.
   */
  enableTiling(sizes: Partial<VaeTiling> = {}): void {
    this.#tiling = changedTiling(this.#tiling, sizes, this.config.scaleFactorSpatial);
    this.#tilingEnabled = true;
  }

  /** Takes frames whole from now on, as at first. */
  disableTiling(): void {
    this.#tilingEnabled = false;
  }

  /** Takes the samples of a batch one after the other from now on: less memory, for the same values. */
  enableSlicing(): void {
    this.#slicingEnabled = true;
  }

  /** Takes all samples of a batch at once from now on, as at first. */
  disableSlicing(): void {
    this.#slicingEnabled = false;
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
      const samples = this.slicing ? video.chunk(video.size(0), 0) : [video];
      const moments = samples.map((sample) => this.#encodeFrames(channelsLast(sample)));
      const [mean, logVariance] = channelsFirst(concatenate(moments, 0)).chunk(2, 1) as [Tensor, Tensor];
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
   * takes all or calls `return`, as `for … of` does. Frames in tiles come in the same chunks, but all
   * tiles are submitted with the first, and held until their chunk is asked for.
   *
   * @throws {TensorError} `shape` for another shape.
   */
  decodeFrames({ latents }: { readonly latents: Tensor }): Generator<Tensor, void, void> {
    return chunksOf(this.#decode(latents));
  }

  /**
   * {@link decodeFrames}, each chunk once it is computed. Until the caller asks for the next, nothing
   * is computed, so memory holds one chunk, or, of frames in tiles, what the tiles are yet to give. Tiles
   * are computed one by one before the first chunk.
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
    const steps = this.#decode(latents);
    try {
      for (;;) {
        const { value: step } = cancellation.run(() => steps.next());
        if (!step) return;
        if ("part" in step) {
          await computed(step.part, signal);
        } else {
          await computed(step.chunk, signal);
          yield step.chunk;
        }
      }
    } finally {
      steps.return();
    }
  }

  /** Checks at once, and goes on as asked. What is set later doesn't reach it. */
  #decode(latents: Tensor): Generator<DecodeStep, void, void> {
    this.#checkLatents(latents);
    return this.#decodeSteps(latents, this.#decodePlan(latents));
  }

  *#decodeSteps(latents: Tensor, plan: DecodePlan): Generator<DecodeStep, void, void> {
    using cache = new FeatureCache();
    using hidden = keep(
      scope(() => this.postQuantConv.call({ input: channelsLast(latents), cache })), // (B, F′, H′, W′, zDim)
    );
    for (const step of decodeSteps(this.decoder, hidden, plan)) {
      if ("part" in step) yield step;
      else yield { chunk: this.#finish(step.chunk) };
    }
  }

  /** (B, T, H, W, outChannels), disposed here, → (B, 3, T, H′, W′) in [−1, 1]. */
  #finish(chunk: Tensor): Tensor {
    using patches = chunk;
    return scope(() => channelsFirst(clamp(unpatchify(patches, this.config.patchSize), -1, 1)));
  }

  #decodePlan(latents: Tensor): DecodePlan {
    const { scaleFactorSpatial: spatial, patchSize } = this.config;
    const taken = tileLayout(this.#tiling, (pixels) => pixels / spatial);
    const [height, width] = [latents.size(3), latents.size(4)];
    const tiled = this.#tilingEnabled && (height > taken.height.extent || width > taken.width.extent);
    // Tiles are blended as the decoder gives them: before patches are unfolded.
    const given = tileLayout(this.#tiling, (pixels) => pixels / (patchSize ?? 1));
    return { tiles: tiled ? { taken, given } : undefined, sliced: this.#slicingEnabled };
  }

  /** Moments (B, F′, H′, W′, 2·zDim) of pixels (B, F, H, W, 3), in tiles where they are on. */
  #encodeFrames(pixels: Tensor): Tensor {
    const { scaleFactorSpatial: spatial, patchSize } = this.config;
    const [height, width] = [pixels.size(2), pixels.size(3)];
    const { tileSampleMinHeight, tileSampleMinWidth } = this.#tiling;
    if (!this.#tilingEnabled || (height <= tileSampleMinHeight && width <= tileSampleMinWidth)) {
      return this.#encodeRegion(pixels);
    }
    // diffusers compares frames in pixels with the tile's size, but then cuts tiles of as many patches.
    const patch = patchSize ?? 1;
    const rows = tileRegions(
      pixels,
      tileLayout(this.#tiling, (pixels) => pixels * patch),
    ).map((row) => row.map((region) => this.#encodeRegion(pixels, region)));
    return joinTiles(
      rows,
      tileLayout(this.#tiling, (pixels) => (pixels * patch) / spatial),
    );
  }

  /** Moments of a region of all frames, or of whole frames, with their own features. */
  #encodeRegion(pixels: Tensor, region?: Region): Tensor {
    return scope(() => {
      using cache = new FeatureCache();
      const chunks = chunkStarts(pixels.size(1), this.config.scaleFactorTemporal).map(([start, end]) =>
        scope(() => {
          const frames = pixels.slice(1, start, end);
          const patches = patchify(region ? crop(frames, region) : frames, this.config.patchSize);
          return this.encoder.call({ input: patches, cache });
        }),
      );
      return this.quantConv.call({ input: concatenate(chunks, 1), cache });
    });
  }

  #checkVideo(video: Tensor): void {
    const { scaleFactorTemporal: temporal, scaleFactorSpatial: spatial } = this.config;
    const [, channels, frames = 0, height = 0, width = 0] = video.shape;
    const fits =
      video.rank === 5 &&
      channels === imageChannels &&
      frames > 0 &&
      (frames - 1) % temporal === 0 &&
      [height, width].every((size) => size > 0 && size % spatial === 0);
    if (fits) return;
    const expected =
      `[B, ${imageChannels}, F, H, W] with F one more than a multiple of ${temporal}, ` +
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

/** The chunks among steps. */
function* chunksOf(steps: Generator<DecodeStep, void, void>): Generator<Tensor, void, void> {
  for (const step of steps) if ("chunk" in step) yield step.chunk;
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

/** Waits until a tensor is computed, by reading one element; disposes it where that fails or the signal aborts. */
async function computed(tensor: Tensor, signal: AbortSignal | undefined): Promise<void> {
  using element = scope(() => tensor.shape.reduce((part, _, dim) => part.slice(dim, 0, 1), tensor));
  try {
    await element.rawBytes();
    signal?.throwIfAborted();
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
