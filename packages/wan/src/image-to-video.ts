import { allFinite, type Cancellation } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";
import { openCheckpoint, type WanCheckpoint } from "./checkpoint.ts";
import { type LoadOptions, loadComponents, type WanComponents } from "./components.ts";
import { encodeImage } from "./encode-image.ts";
import { repeatRows } from "./encode-prompt.ts";
import { CheckpointError, NonFiniteError, PipelineInputError } from "./errors.ts";
import { encodeCondition } from "./image-condition.ts";
import type { ImageToVideoOptions } from "./options.ts";
import { type Conditioning, WanPipeline } from "./pipeline.ts";
import { timeStage } from "./stage-clock.ts";

/** Video from a first frame and a prompt, with a Wan 2.1 image-to-video checkpoint. */
export class WanImageToVideoPipeline extends WanPipeline<ImageToVideoOptions> {
  readonly #parts: WanComponents;

  private constructor(checkpoint: WanCheckpoint, components: WanComponents) {
    super(checkpoint, components);
    this.#parts = components;
  }

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
    if (checkpoint.task !== "imageToVideo") {
      throw new CheckpointError(checkpoint.path, "an image-to-video checkpoint", "a text-to-video one");
    }
    return new WanImageToVideoPipeline(checkpoint, await loadComponents(checkpoint, options));
  }

  protected override check(options: ImageToVideoOptions): void {
    if (options.image === undefined) throw new PipelineInputError("image", "given", "missing");
    const { imageEmbeds } = options;
    const { imageDim } = this.checkpoint.transformer;
    if (imageEmbeds && (imageEmbeds.rank !== 3 || imageEmbeds.size(2) !== imageDim)) {
      throw new PipelineInputError(
        "imageEmbeds",
        `of shape [1, tokens, ${imageDim}]`,
        `[${imageEmbeds.shape}]`,
      );
    }
  }

  protected override async prepareConditioning(
    options: ImageToVideoOptions,
    sizes: RunSizes,
    cancellation: Cancellation,
    owned: DisposableStack,
  ): Promise<Conditioning> {
    const { dtype } = this.transformer;
    const { image, imageEmbeds } = options;
    const { imageEncoder } = this.#parts;
    const tokens =
      imageEmbeds || imageEncoder
        ? await timeStage("encodeImage", options, () =>
            cancellation.run(() => {
              using one = imageEmbeds
                ? imageEmbeds.to(dtype)
                : imageEncoder && encodeImage(imageEncoder, image, dtype);
              return one && owned.use(repeatRows(one, sizes.batch));
            }),
          )
        : undefined;
    const condition = await timeStage("encodeCondition", options, async () => {
      const encoded = owned.use(encodeCondition(this.vae, image, sizes, cancellation));
      if (!(await allFinite(encoded))) throw new NonFiniteError("encoded image");
      return encoded;
    });
    return tokens ? { condition, imageEmbeds: tokens } : { condition };
  }
}
