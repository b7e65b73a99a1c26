import type { AttentionBackend, AttentionDispatcher } from "@wan-ts/attention";
import { LayerNorm, Module, ModuleList, type Parameter } from "@wan-ts/nn";
import { add, concatenate, conv3d, type DType, type Tensor, TensorError } from "@wan-ts/tensor";
import { hasShape, shapeText } from "../shape.ts";
import { ClipLayer } from "./clip-layer.ts";
import type { ClipVisionConfig } from "./config.ts";

/** The arguments of {@link ClipVisionEncoder}. */
export interface ClipVisionInput {
  /** (B, 3, imageSize, imageSize), of the model's dtype, normalised as the checkpoint's preprocessor says. */
  readonly pixelValues: Tensor;
}

/** Image to tokens: one for the class, one for each patch; parameters as `CLIPVisionEmbeddings`. */
class ClipEmbeddings extends Module<ClipVisionInput, Tensor> {
  readonly classEmbedding: Parameter;
  readonly patchWeight: Parameter;
  readonly positionWeight: Parameter;

  constructor({ hiddenSize, imageSize, patchSize, numChannels }: ClipVisionConfig) {
    super();
    const patches = Math.floor(imageSize / patchSize) ** 2;
    this.classEmbedding = this.parameter("class_embedding", [hiddenSize]);
    this.patchWeight = this.parameter("patch_embedding.weight", [
      hiddenSize,
      numChannels,
      patchSize,
      patchSize,
    ]);
    this.positionWeight = this.parameter("position_embedding.weight", [1 + patches, hiddenSize]);
  }

  /** (B, 3, H, W) → (B, 1 + patches, C). */
  protected override forward({ pixelValues }: ClipVisionInput): Tensor {
    const weight = this.patchWeight.value; // (C, 3, patch, patch)
    const [dim, channels, patchSize] = weight.shape as readonly [number, number, number, number];
    const batch = pixelValues.size(0);
    const image = pixelValues.permute([0, 2, 3, 1]).unsqueeze(1); // (B, 1, H, W, 3)
    const patches = conv3d(image, weight.reshape([dim, channels, 1, patchSize, patchSize]), {
      stride: [1, patchSize, patchSize],
    }).reshape([batch, -1, dim]); // (B, patches, C)
    const classToken = this.classEmbedding.value.reshape([1, 1, dim]).expand([batch, 1, dim]);
    return add(concatenate([classToken, patches], 1), this.positionWeight.value);
  }
}

/**
 * The CLIP image encoder (Radford et al. 2021) up to its last but one layer, whose states Wan takes:
 * transformers' `hidden_states[-2]`, without the norm behind the encoder. Parameters are named as
 * transformers' `CLIPVisionModel` (`models/clip/modeling_clip.py`).
 *
 * Comments at line ends give shapes: B images, C features.
 */
export class ClipVisionEncoder extends Module<ClipVisionInput, Tensor> {
  readonly config: ClipVisionConfig;
  readonly embeddings: ClipEmbeddings;
  readonly preNorm: LayerNorm;
  readonly layers: ModuleList<ClipLayer>;
  readonly #attention: AttentionDispatcher;

  /** @param attention where the layers' attention goes, made for `clipVisionAttentionRequests`. */
  constructor(config: ClipVisionConfig, attention: AttentionDispatcher) {
    super();
    this.config = config;
    this.#attention = attention;
    this.embeddings = this.child("embeddings", new ClipEmbeddings(config));
    // So spelt in checkpoints.
    this.preNorm = this.child(
      "pre_layrnorm",
      new LayerNorm(config.hiddenSize, { epsilon: config.layerNormEps }),
    );
    this.layers = this.child(
      "encoder.layers",
      new ModuleList(
        Array.from({ length: config.numHiddenLayers - 1 }, () => new ClipLayer(config, attention)),
      ),
    );
  }

  /** The dtype that pixel values must have. */
  get dtype(): DType {
    return this.embeddings.patchWeight.value.dtype;
  }

  /**
   * Sends this model's attention to another backend, by name or as an object.
   *
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}; the backend then stays as it was.
   */
  setAttentionBackend(backend: string | AttentionBackend): void {
    this.#attention.use(backend);
  }

  /** (B, 3, imageSize, imageSize) → (B, 1 + patches, C), of the model's dtype. */
  protected override forward({ pixelValues }: ClipVisionInput): Tensor {
    const { imageSize, numChannels } = this.config;
    if (!hasShape(pixelValues, [pixelValues.shape[0] ?? 0, numChannels, imageSize, imageSize])) {
      throw TensorError.argument(
        "clipVisionEncoder",
        "pixelValues",
        `[B, ${numChannels}, ${imageSize}, ${imageSize}]`,
        shapeText(pixelValues.shape),
      );
    }
    let hiddenStates = this.preNorm.call({ input: this.embeddings.call({ pixelValues }) }); // (B, 1 + patches, C)
    for (const layer of this.layers) {
      const next = layer.call({ hiddenStates });
      if (next !== hiddenStates) hiddenStates.dispose();
      hiddenStates = next;
    }
    return hiddenStates;
  }
}
