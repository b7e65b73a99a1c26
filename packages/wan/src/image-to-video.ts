import type { RgbImage } from "@wan-ts/media";
import { allFinite, type Cancellation, type Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";
import { openCheckpoint, type WanCheckpoint } from "./checkpoint.ts";
import { type LoadOptions, loadComponents } from "./components.ts";
import { encodeImages } from "./encode-image.ts";
import { NonFiniteError, PipelineInputError } from "./errors.ts";
import { encodeCondition, encodeFirstFrame } from "./image-condition.ts";
import { checkTask } from "./inputs.ts";
import type { ImageToVideoOptions } from "./options.ts";
import { type Conditioning, WanPipeline } from "./pipeline.ts";
import { tileRows } from "./rows.ts";
import { timeStage } from "./stage-clock.ts";
import { channelCondition, firstFrameCondition, type VideoCondition } from "./video-condition.ts";

/**
 * Video from a first frame, or from first and last frame, and a prompt: Wan 2.1 I2V and FLF2V, Wan 2.2
 * I2V-A14B and TI2V-5B. After `WanImageToVideoPipeline` of diffusers.
 */
export class WanImageToVideoPipeline extends WanPipeline<ImageToVideoOptions> {
  override readonly task = "imageToVideo";

  /**
   * Loads a checkpoint in diffusers layout: a directory or a hub id.
   *
   * @throws {CheckpointError} where it is for another pipeline, and whatever opening and loading throw.
   */
  static async fromPretrained(model: string, options: LoadOptions = {}): Promise<WanImageToVideoPipeline> {
    return WanImageToVideoPipeline.fromCheckpoint(await openCheckpoint(model, options), options);
  }

  /** Loads a checkpoint that was opened before. */
  static async fromCheckpoint(
    checkpoint: WanCheckpoint,
    options: LoadOptions = {},
  ): Promise<WanImageToVideoPipeline> {
    checkTask(checkpoint, "imageToVideo");
    return new WanImageToVideoPipeline(checkpoint, await loadComponents(checkpoint, options), options);
  }

  protected override async prepareConditioning(
    options: ImageToVideoOptions,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<Conditioning> {
    const imageEmbeds =
      this.checkpoint.imageEncoder &&
      (await timeStage("encodeImage", options, async () => {
        using images = await this.#embedImages(options, cancellation);
        // Each sample has the tokens of all images.
        return owned.use(tileRows(images, sizes.batch));
      }));
    const condition = await timeStage("encodeCondition", options, async () =>
      owned.use(await this.#encodeFrames(options, sizes, cancellation)),
    );
    return { condition, imageEmbeds };
  }

  /** (images, tokens, imageDim) of the transformer's dtype, which the caller disposes. */
  async #embedImages(options: ImageToVideoOptions, cancellation: Cancellation): Promise<Tensor> {
    const { imageEncoder } = this.components;
    if (options.imageEmbeds) return settled(this.given(options.imageEmbeds), "image embeddings");
    if (!imageEncoder) throw new PipelineInputError("imageEmbeds", "given", "missing");
    const images: RgbImage[] = options.lastImage ? [options.image, options.lastImage] : [options.image];
    using borrowed = await imageEncoder.encoder.borrow();
    const embeds = cancellation.run(() =>
      encodeImages(borrowed.module, imageEncoder.preprocessor, images, this.dtype, this.device),
    );
    return await settled(embeds, "image embeddings");
  }

  async #encodeFrames(
    options: ImageToVideoOptions,
    sizes: RunSizes,
    cancellation: Cancellation,
  ): Promise<VideoCondition> {
    const { transformer, expandTimesteps } = this.checkpoint;
    using vae = await this.components.vae.borrow();
    const encoded = await settled(
      cancellation.run(() =>
        expandTimesteps
          ? encodeFirstFrame(vae.module, options.image, sizes, this.device)
          : encodeCondition(vae.module, options, sizes, this.device),
      ),
      "encoded image",
    );
    return expandTimesteps
      ? firstFrameCondition(encoded, sizes, transformer.patchSize)
      : channelCondition(encoded);
  }
}

/** The tensor once it is computed; disposes it where that fails or a value is not finite. */
async function settled(tensor: Tensor, name: string): Promise<Tensor> {
  try {
    if (!(await allFinite(tensor))) throw new NonFiniteError(name);
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}
