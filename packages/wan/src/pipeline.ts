import type { ClipVisionEncoder, Umt5Encoder, WanTransformer, WanVae } from "@wan-ts/models";
import { type WeightBytes, weightBytes } from "@wan-ts/nn";
import type { Scheduler } from "@wan-ts/schedulers";
import {
  allFinite,
  Cancellation,
  concatenate,
  type Device,
  type DType,
  scope,
  type Tensor,
  TensorError,
} from "@wan-ts/tensor";
import { checkGenerateOptions } from "./check-generate-options.ts";
import type { RunSizes } from "./check-options.ts";
import type { Task, WanCheckpoint } from "./checkpoint.ts";
import type { AttendingModel, LoadOptions, WanComponents } from "./components.ts";
import { findDamagedWeight } from "./damaged-weight.ts";
import { decodeLatents } from "./decode-latents.ts";
import { denoise } from "./denoise.ts";
import { PromptEncoder } from "./encode-prompt.ts";
import { NonFiniteError, PipelineInputError } from "./errors.ts";
import type { Embeddings } from "./expert-at-work.ts";
import type { Experts } from "./experts.ts";
import { drawNoise } from "./noise.ts";
import type { GenerateOptions } from "./options.ts";
import type { PromptCache } from "./prompt-cache.ts";
import type { Frames, GenerateResult } from "./result.ts";
import { repeatRows } from "./rows.ts";
import { timeStage } from "./stage-clock.ts";
import type { VideoCondition } from "./video-condition.ts";

/** What a pipeline adds to the common run. */
export interface Conditioning {
  readonly condition: VideoCondition;
  /** (B, tokens, imageDim), or (2·B, …) for a model of first and last frame, of the transformer's dtype. */
  readonly imageEmbeds?: Tensor | undefined;
}

/** Prompts whose embeddings are kept where nothing else is said. */
const defaultPromptCacheSize = 16;

/** The stages that Wan pipelines share; each pipeline states what it conditions on. */
export abstract class WanPipeline<Options extends GenerateOptions> implements Disposable {
  readonly checkpoint: WanCheckpoint;
  /** What this pipeline makes videos from. */
  abstract readonly task: Task;
  /** How steps are taken; replace it to use another. */
  scheduler: Scheduler;
  protected readonly components: WanComponents;
  readonly #prompts: PromptEncoder;

  protected constructor(checkpoint: WanCheckpoint, components: WanComponents, options: LoadOptions) {
    const { tokenizer, textEncoder, dtype, device } = components;
    this.checkpoint = checkpoint;
    this.components = components;
    this.scheduler = checkpoint.scheduler;
    const cacheSize = options.promptCacheSize ?? defaultPromptCacheSize;
    this.#prompts = new PromptEncoder({ tokenizer, textEncoder, dtype, device, cacheSize });
  }

  /** Of the transformers, the text encoder and embeddings. */
  get dtype(): DType {
    return this.components.dtype;
  }

  /** Where the models compute. */
  get device(): Device {
    return this.components.device;
  }

  /** The text encoder. */
  get textEncoder(): Umt5Encoder {
    return this.components.textEncoder.module;
  }

  /** The denoiser, or the expert of high noise; `setAttentionBackend` swaps its attention. */
  get transformer(): WanTransformer {
    return this.components.transformer.module;
  }

  /** The expert of low noise, where the checkpoint has one. */
  get transformer2(): WanTransformer | undefined {
    return this.components.transformer2?.module;
  }

  /** The video autoencoder. */
  get vae(): WanVae {
    return this.components.vae.module;
  }

  /** The image encoder, where the checkpoint has one. */
  get imageEncoder(): ClipVisionEncoder | undefined {
    return this.components.imageEncoder?.encoder.module;
  }

  /** Bytes of each model's weights, by how they are held at the moment. */
  get weightBytes(): Readonly<Partial<Record<AttendingModel, WeightBytes>>> {
    const { textEncoder, imageEncoder, transformer, transformer2, vae } = this;
    const models = Object.entries({ textEncoder, imageEncoder, transformer, transformer2, vae });
    return Object.fromEntries(models.flatMap(([name, model]) => (model ? [[name, weightBytes(model)]] : [])));
  }

  /** Embeddings of the prompts used last. */
  get promptCache(): PromptCache {
    return this.#prompts.cache;
  }

  /** Encodes what the pipeline conditions on; `owned` disposes it after the run. */
  protected abstract prepareConditioning(
    options: Options,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<Conditioning>;

  /**
   * Embeddings of prompts, (prompts, maxSequenceLength, textDim) of the pipeline's dtype, as
   * `generate` takes them for `promptEmbeds`. The caller disposes them.
   *
   * @throws {PipelineInputError} without a prompt, {NonFiniteError}, or the signal's reason once it aborts.
   */
  async encodePrompt(
    prompt: string | readonly string[],
    { maxSequenceLength = 512, signal }: Pick<GenerateOptions, "maxSequenceLength" | "signal"> = {},
  ): Promise<Tensor> {
    const prompts = list(prompt);
    if (prompts.length === 0) throw new PipelineInputError("prompt", "at least one prompt", "an empty list");
    using cancellation = new Cancellation(signal);
    using owned = new DisposableStack();
    const rows = await withReason(signal, () =>
      this.#prompts.encode(prompts, maxSequenceLength, cancellation),
    );
    for (const row of rows) owned.use(row);
    return joined(rows, 1);
  }

  /**
   * Makes videos.
   *
   * @throws {PipelineInputError} for options that can't be used, before anything heavy.
   * @throws {NonFiniteError} where a step gives NaN or infinity.
   * @throws the reason of `options.signal` once it aborts; everything is freed then.
   */
  async generate(options: Options): Promise<GenerateResult> {
    try {
      return await withReason(options.signal, () => this.#generate(options));
    } catch (error) {
      throw error instanceof NonFiniteError ? await this.#explained(error) : error;
    }
  }

  /** Embeddings that the caller gave, of the pipeline's dtype and on its device. */
  protected given(embeddings: Tensor): Tensor {
    return scope(() => embeddings.toDevice(this.device).to(this.dtype));
  }

  /** Lets go of the weights and of prompts' embeddings. */
  [Symbol.dispose](): void {
    this.#prompts[Symbol.dispose]();
    this.components[Symbol.dispose]();
  }

  /** The error, with the weight that made the values so where one did. */
  async #explained({ tensor, step }: NonFiniteError): Promise<NonFiniteError> {
    const { textEncoder, imageEncoder, transformer, transformer2, vae } = this.components;
    const models = { textEncoder, imageEncoder: imageEncoder?.encoder, vae, transformer, transformer2 };
    for (const [name, model] of Object.entries(models)) {
      using borrowed = await model?.borrow();
      const weight = await findDamagedWeight({ [name]: borrowed?.module });
      if (weight) return new NonFiniteError(tensor, step, weight);
    }
    return new NonFiniteError(tensor, step);
  }

  async #generate(options: Options): Promise<GenerateResult> {
    const sizes = checkGenerateOptions(this.checkpoint, options, this.task);
    using cancellation = new Cancellation(options.signal);
    const latents = await this.#latents(options, sizes, cancellation);
    try {
      return await this.#decode(options, sizes, latents);
    } catch (error) {
      latents.dispose();
      throw error;
    }
  }

  /** (B, zDim, T, H, W) float32, which the caller disposes; all else is freed when it returns. */
  async #latents(options: Options, sizes: RunSizes, cancellation: Cancellation): Promise<Tensor> {
    using owned = new DisposableStack();
    const prompts = await timeStage("encodePrompt", options, () =>
      this.#embedPrompts(options, sizes, cancellation, owned),
    );
    const { condition, imageEmbeds } = await this.prepareConditioning(options, sizes, cancellation, owned);
    return await timeStage("denoise", options, async () => {
      const { batch, latentFrames, latentHeight, latentWidth } = sizes;
      const shape = [batch, this.checkpoint.vae.zDim, latentFrames, latentHeight, latentWidth] as const;
      // Drawn on the processor whatever the device, so that a seed gives one video.
      using drawn = options.latents?.share() ?? drawNoise(shape, options.generator);
      using noise = drawn.toDevice(this.device);
      return denoise({
        experts: this.#experts(sizes),
        scheduler: this.scheduler,
        steps: sizes.steps,
        noise,
        condition,
        embeddings: { ...prompts, imageEmbeds },
        onStepEnd: options.callbackOnStepEnd,
        cancellation,
      });
    });
  }

  #experts({ guidanceScale, guidanceScale2 }: RunSizes): Experts {
    const { transformer, transformer2 } = this.components;
    const { lowNoiseExpert } = this.checkpoint;
    return {
      highNoise: { model: transformer, guidanceScale },
      lowNoise: transformer2 &&
        lowNoiseExpert && {
          expert: { model: transformer2, guidanceScale: guidanceScale2 },
          boundaryRatio: lowNoiseExpert.boundaryRatio,
        },
      numTrainTimesteps: this.scheduler.config.numTrainTimesteps,
    };
  }

  async #embedPrompts(
    options: GenerateOptions,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<Pick<Embeddings, "promptEmbeds" | "negativePromptEmbeds">> {
    const guided = sizes.guidanceScale > 1;
    const prompts = options.promptEmbeds ? [] : list(options.prompt);
    const negatives = guided && !options.negativePromptEmbeds ? list(options.negativePrompt ?? "") : [];
    // Together, so that a text encoder on demand is read once.
    const rows = await this.#prompts.encode(
      [...prompts, ...negatives],
      sizes.maxSequenceLength,
      cancellation,
    );
    for (const row of rows) owned.use(row);
    const embed = async (given: Tensor | undefined, encoded: readonly Tensor[]): Promise<Tensor> => {
      using single = given ? this.given(given) : joined(encoded, sizes.prompts / encoded.length);
      if (given && !(await allFinite(single))) throw new NonFiniteError("prompt embeddings");
      return owned.use(repeatRows(single, sizes.batch / sizes.prompts));
    };
    return {
      promptEmbeds: await embed(options.promptEmbeds, rows.slice(0, prompts.length)),
      negativePromptEmbeds: guided
        ? await embed(options.negativePromptEmbeds, rows.slice(prompts.length))
        : undefined,
    };
  }

  async #decode(options: GenerateOptions, sizes: RunSizes, latents: Tensor): Promise<GenerateResult> {
    const outputType = options.outputType ?? "np";
    const videos: Frames[] = [];
    using tensors = new DisposableStack();
    const decoded: Tensor[] = [];
    if (outputType !== "latent") {
      await timeStage("decode", options, async () => {
        using vae = await this.components.vae.borrow();
        for (let index = 0; index < sizes.batch; index++) {
          using one = latents.slice(0, index, index + 1);
          const video = await decodeLatents(vae.module, one, sizes, outputType, options.signal);
          if ("frames" in video) videos.push(video.frames);
          else decoded.push(tensors.use(video.tensor));
        }
      });
    }
    const none: Frames = { data: new Float32Array(), numFrames: 0, height: sizes.height, width: sizes.width };
    const held = tensors.move();
    held.use(latents);
    return {
      frames: videos[0] ?? none,
      videos,
      tensors: decoded,
      latents,
      [Symbol.dispose]: () => held.dispose(),
    };
  }
}

/** What a cancelled run reports is the caller's own reason, not the operation it was cut at. */
async function withReason<T>(signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (TensorError.isInstance(error) && error.code === "cancelled") signal?.throwIfAborted();
    throw error;
  }
}

/** Rows one after the other, `count` times over. The rows stay the caller's. */
function joined(rows: readonly Tensor[], count: number): Tensor {
  return scope(() => concatenate(Array.from({ length: count }, () => rows).flat(), 0));
}

function list(prompts: string | readonly string[] | undefined): readonly string[] {
  return typeof prompts === "string" ? [prompts] : (prompts ?? []);
}
