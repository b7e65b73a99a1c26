import type { Scheduler } from "@wan-ts/schedulers";
import { allFinite, Cancellation, scope, type Tensor, TensorError } from "@wan-ts/tensor";
import { checkGenerateOptions } from "./check-generate-options.ts";
import type { RunSizes } from "./check-options.ts";
import type { WanCheckpoint } from "./checkpoint.ts";
import type { WanComponents } from "./components.ts";
import { findDamagedWeight } from "./damaged-weight.ts";
import { decodeLatents } from "./decode-latents.ts";
import { denoise } from "./denoise.ts";
import { encodePrompts, repeatRows, tokenizePrompts } from "./encode-prompt.ts";
import { NonFiniteError } from "./errors.ts";
import { drawNoise } from "./noise.ts";
import type { GenerateOptions } from "./options.ts";
import type { Frames, GenerateResult } from "./result.ts";
import { timeStage } from "./stage-clock.ts";

/** What a pipeline adds to the common run: tensors the loop borrows, disposed with the run. */
export interface Conditioning {
  /** (1 or B, C, T, H, W) float32, appended to the latents' channels. */
  readonly condition?: Tensor;
  /** (B, tokens, imageDim) of the transformer's dtype. */
  readonly imageEmbeds?: Tensor;
}

/** The stages that Wan pipelines share; each pipeline states what it conditions on. */
export abstract class WanPipeline<Options extends GenerateOptions> implements Disposable {
  readonly checkpoint: WanCheckpoint;
  readonly #components: WanComponents;
  /** How steps are taken; replace it to use another. */
  scheduler: Scheduler;

  protected constructor(checkpoint: WanCheckpoint, components: WanComponents) {
    this.checkpoint = checkpoint;
    this.#components = components;
    this.scheduler = checkpoint.scheduler;
  }

  /** The text encoder. */
  get textEncoder(): WanComponents["textEncoder"] {
    return this.#components.textEncoder;
  }

  /** The denoiser; `setAttentionBackend` swaps its attention. */
  get transformer(): WanComponents["transformer"] {
    return this.#components.transformer;
  }

  /** The video autoencoder. */
  get vae(): WanComponents["vae"] {
    return this.#components.vae;
  }

  /** The image encoder, where the checkpoint has one. */
  get imageEncoder(): WanComponents["imageEncoder"] {
    return this.#components.imageEncoder;
  }

  /** Refuses options that this pipeline can't use; called before anything heavy. */
  protected abstract check(options: Options, sizes: RunSizes): void;

  /** Encodes what the pipeline conditions on; `owned` disposes it after the run. */
  protected abstract prepareConditioning(
    options: Options,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<Conditioning>;

  /**
   * Makes videos.
   *
   * @throws {PipelineInputError} for options that can't be used, before anything heavy.
   * @throws {NonFiniteError} where a step gives NaN or infinity.
   * @throws the reason of `options.signal` once it aborts; everything is freed then.
   */
  async generate(options: Options): Promise<GenerateResult> {
    const sizes = checkGenerateOptions(this.checkpoint, options);
    this.check(options, sizes);
    using cancellation = new Cancellation(options.signal);
    using owned = new DisposableStack();
    try {
      const embeds = await timeStage("encodePrompt", options, () =>
        this.#encodePrompts(options, sizes, cancellation, owned),
      );
      const conditioning = await this.prepareConditioning(options, sizes, cancellation, owned);
      const latents = await timeStage("denoise", options, async () => {
        const { batch, latentFrames, latentHeight, latentWidth } = sizes;
        const shape = [batch, this.checkpoint.vae.zDim, latentFrames, latentHeight, latentWidth] as const;
        using noise = options.latents?.share() ?? drawNoise(shape, options.generator);
        return denoise({
          transformer: this.transformer,
          scheduler: this.scheduler,
          steps: sizes.steps,
          noise,
          condition: conditioning.condition,
          imageEmbeds: conditioning.imageEmbeds,
          promptEmbeds: embeds.prompt,
          negativePromptEmbeds: embeds.negative,
          guidanceScale: sizes.guidanceScale,
          onStepEnd: options.callbackOnStepEnd,
          cancellation,
        });
      });
      try {
        return await this.#finish(options, sizes, latents);
      } catch (error) {
        latents.dispose();
        throw error;
      }
    } catch (error) {
      // What a cancelled run reports is the caller's own reason, not the operation it was cut at.
      if (TensorError.isInstance(error) && error.code === "cancelled") options.signal?.throwIfAborted();
      throw error instanceof NonFiniteError ? await this.#explained(error) : error;
    }
  }

  /** The error, with the weight that made the values so where one did. */
  async #explained({ tensor, step }: NonFiniteError): Promise<NonFiniteError> {
    const { textEncoder, imageEncoder, transformer, vae } = this.#components;
    const models = { textEncoder, imageEncoder: imageEncoder?.encoder, vae, transformer };
    return new NonFiniteError(tensor, step, await findDamagedWeight(models));
  }

  /** Lets go of the weights. */
  [Symbol.dispose](): void {
    this.#components[Symbol.dispose]();
  }

  async #encodePrompts(
    options: GenerateOptions,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<{ prompt: Tensor; negative: Tensor | undefined }> {
    const { dtype } = this.transformer;
    const count = options.promptEmbeds?.size(0) ?? list(options.prompt).length;
    const encode = async (given: Tensor | undefined, prompts: readonly string[]): Promise<Tensor> => {
      const tokens = given
        ? []
        : await tokenizePrompts(this.#components.tokenizer, prompts, sizes.maxSequenceLength);
      const embeds = cancellation.run(() =>
        scope(() =>
          repeatRows(given?.to(dtype) ?? encodePrompts(this.textEncoder, tokens, dtype), sizes.batch / count),
        ),
      );
      owned.use(embeds);
      if (!(await allFinite(embeds))) throw new NonFiniteError("prompt embeddings");
      return embeds;
    };
    const prompt = await encode(options.promptEmbeds, list(options.prompt));
    if (!(sizes.guidanceScale > 1)) return { prompt, negative: undefined };
    const negatives = list(options.negativePrompt ?? "");
    const each =
      negatives.length === 1 ? Array.from({ length: count }, () => negatives[0] as string) : negatives;
    return { prompt, negative: await encode(options.negativePromptEmbeds, each) };
  }

  async #finish(options: GenerateOptions, sizes: RunSizes, latents: Tensor): Promise<GenerateResult> {
    const outputType = options.outputType ?? "np";
    const videos: Frames[] = [];
    const tensors: Tensor[] = [];
    if (outputType !== "latent") {
      await timeStage("decode", options, async () => {
        for (let index = 0; index < sizes.batch; index++) {
          using one = latents.slice(0, index, index + 1);
          const video = await decodeLatents(this.vae, one, sizes, outputType, options.signal);
          if ("frames" in video) videos.push(video.frames);
          else tensors.push(video.tensor);
        }
      });
    }
    const none: Frames = { data: new Float32Array(), numFrames: 0, height: sizes.height, width: sizes.width };
    return {
      frames: videos[0] ?? none,
      videos,
      tensors,
      latents,
      [Symbol.dispose]: () => {
        for (const tensor of [latents, ...tensors]) tensor.dispose();
      },
    };
  }
}

function list(prompts: string | readonly string[] | undefined): readonly string[] {
  return typeof prompts === "string" ? [prompts] : (prompts ?? []);
}
