import type { AttentionBackend, AttentionDispatcher } from "@wan-ts/attention";
import { Conv3d, LayerNorm, Linear, Module, ModuleList, type Parameter } from "@wan-ts/nn";
import { add, type DType, keep, scope, type Tensor, TensorError } from "@wan-ts/tensor";
import type { ParallelDegrees, Parallelism, Parallelizer } from "../parallelizer.ts";
import { hasShape, shapeText } from "../shape.ts";
import { ConditionEmbedder, type TimeInput } from "./condition-embedder.ts";
import type { TransformerConfig } from "./config.ts";
import { transformerContextParallelPlan } from "./context-parallel-plan.ts";
import { type TokenGrid, WanRotaryEmbedding } from "./rotary-embedding.ts";
import { TransformerBlock } from "./transformer-block.ts";
import { TransformerContext } from "./transformer-context.ts";

/** The arguments of {@link WanTransformer}. */
export interface TransformerInput extends TimeInput {
  /** (B, inChannels, T, H, W), of the model's dtype: latents, with mask and condition where it has them. */
  readonly hiddenStates: Tensor;
  readonly context: TransformerContext;
}

/** Encoder states to attend to. */
export interface ContextInput {
  /** (B, L, textDim), of the model's dtype. */
  readonly encoderHiddenStates: Tensor;
  /**
   * (B, tokens, imageDim), of the model's dtype: given to a model that has image keys, and only to
   * such. A model of first and last frame takes (2·B, tokens, imageDim), the two of a sample in turn.
   */
  readonly encoderHiddenStatesImage?: Tensor | undefined;
}

/**
 * The Wan video diffusion transformer: predicts the flow of noisy latents. Parameters are named as
 * diffusers' `WanTransformer3DModel` (`models/transformers/transformer_wan.py`).
 *
 * Comments at line ends give shapes: B samples; T, H, W latent frames, rows and columns; S tokens of
 * `patchSize`; C features of a token, in heads of D; N is 1, or S where each token has its own time.
 */
export class WanTransformer extends Module<TransformerInput, Tensor> {
  readonly config: TransformerConfig;
  readonly rope: WanRotaryEmbedding;
  readonly patchEmbedding: Conv3d;
  readonly conditionEmbedder: ConditionEmbedder;
  readonly blocks: ModuleList<TransformerBlock>;
  readonly normOut: LayerNorm;
  readonly projOut: Linear;
  readonly scaleShiftTable: Parameter;
  readonly #attention: AttentionDispatcher;
  readonly #parallelizer: Parallelizer | undefined;
  #parallelism: Parallelism | undefined;

  /**
   * @param attention where the blocks' attention goes, made for `transformerAttentionRequests`.
   * @param parallelizer what {@link enableParallelism} splits the model with.
   */
  constructor(config: TransformerConfig, attention: AttentionDispatcher, parallelizer?: Parallelizer) {
    super();
    this.#parallelizer = parallelizer;
    const dim = config.numAttentionHeads * config.attentionHeadDim;
    const [patchFrames, patchHeight, patchWidth] = config.patchSize;
    this.config = config;
    this.#attention = attention;
    this.scaleShiftTable = this.parameter("scale_shift_table", [1, 2, dim]);
    this.rope = this.child("rope", new WanRotaryEmbedding(config));
    this.patchEmbedding = this.child(
      "patch_embedding",
      new Conv3d(config.inChannels, dim, { kernel: config.patchSize, stride: config.patchSize }),
    );
    this.conditionEmbedder = this.child("condition_embedder", new ConditionEmbedder(config));
    this.blocks = this.child(
      "blocks",
      new ModuleList(Array.from({ length: config.numLayers }, () => new TransformerBlock(config, attention))),
    );
    this.normOut = this.child("norm_out", new LayerNorm(dim, { epsilon: config.eps, affine: false }));
    this.projOut = this.child(
      "proj_out",
      new Linear(dim, config.outChannels * patchFrames * patchHeight * patchWidth),
    );
  }

  /** The dtype that latents and encoder states must have. */
  get dtype(): DType {
    return this.patchEmbedding.weight.value.dtype;
  }

  /** The name of the attention backend at work. */
  get attentionBackend(): string {
    return this.#attention.backend.name;
  }

  /**
   * Sends this model's attention to another backend, by name or as an object.
   *
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}; the backend then stays as it was.
   */
  setAttentionBackend(backend: string | AttentionBackend): void {
    this.#attention.use(backend);
  }

  /** How the model is split, where it is. */
  get parallelism(): Parallelism | undefined {
    return this.#parallelism;
  }

  /**
   * Splits the model's work, before or after a first run; it gives the same results. Another call splits
   * it anew.
   *
   * @throws {TensorError} `argument` where the model was made without anything to split it with;
   * what the parallelizer throws. The model then stays as it was before the first call.
   */
  enableParallelism(degrees: ParallelDegrees = {}): void {
    if (!this.#parallelizer) {
      const expected = "called on a transformer of a pipeline, which knows the ranks";
      throw TensorError.argument("enableParallelism", "transformer", expected, "one without a parallelizer");
    }
    this.disableParallelism();
    this.#parallelism = this.#parallelizer.enable(
      {
        root: this,
        plan: transformerContextParallelPlan,
        attention: this.#attention,
        heads: this.config.numAttentionHeads,
      },
      degrees,
    );
  }

  /** Makes the model whole again. */
  disableParallelism(): void {
    this.#parallelism?.[Symbol.dispose]();
    this.#parallelism = undefined;
  }

  /**
   * Embeds text and image, and computes their keys and values in every block: once a run. The caller
   * disposes the context.
   *
   * @throws {TensorError} `argument` where image states are missing or have no place.
   */
  prepareContext({ encoderHiddenStates, encoderHiddenStatesImage }: ContextInput): TransformerContext {
    const { imageEmbedder, textEmbedder } = this.conditionEmbedder;
    if ((imageEmbedder === undefined) !== (encoderHiddenStatesImage === undefined)) {
      throw TensorError.argument(
        "prepareContext",
        "encoderHiddenStatesImage",
        imageEmbedder ? "given, as the model has image keys" : "left out, as the model has no image keys",
        imageEmbedder ? "left out" : "given",
      );
    }
    return new TransformerContext(
      scope(() => {
        const text = textEmbedder.call({ input: encoderHiddenStates }); // (B, L, C)
        const image =
          imageEmbedder && encoderHiddenStatesImage
            ? imageEmbedder.call({ input: encoderHiddenStatesImage }) // (B, L′, C)
            : undefined;
        return keep([...this.blocks].map((block) => block.attn2.prepareContext({ text, image })));
      }),
    );
  }

  /** (B, inChannels, T, H, W) → (B, outChannels, T, H, W), of the model's dtype. */
  protected override forward({
    hiddenStates: latents,
    timestep,
    timestepOfToken,
    context,
  }: TransformerInput): Tensor {
    const grid = this.#tokenGrid(latents);
    this.#checkConditions(latents, grid, timestep, timestepOfToken, context);

    const rotary = this.rope.call(grid);
    const patches = this.patchEmbedding.call({ input: latents.permute([0, 2, 3, 4, 1]) }); // (B, T′, H′, W′, C)
    const { temb, timestepProj } = this.conditionEmbedder.call({
      timestep,
      timestepOfToken,
      dtype: latents.dtype,
      device: latents.device,
    }); // (B, N, C) and (B, N, 6, C)

    let hiddenStates = patches.reshape([patches.size(0), -1, patches.size(-1)]); // (B, S, C)
    patches.dispose();
    for (const [index, block] of this.blocks.items.entries()) {
      const next = block.call({
        hiddenStates,
        context: context.blocks[index]!,
        temb: timestepProj,
        rotary,
      }); // (B, S, C)
      if (next !== hiddenStates) hiddenStates.dispose();
      hiddenStates = next;
    }

    // As in the blocks, modulation is float32; norm and modulation are rounded once.
    const table = this.scaleShiftTable.value; // (1, 2, C), kept in float32
    const [shift, scale] = [0, 1].map((index) => add(temb.to("float32"), table.select(1, index))); // (B, N, C)
    hiddenStates = this.normOut.call({ input: hiddenStates, shift: shift!, scale: scale! });
    return this.#unpatchify(this.projOut.call({ input: hiddenStates }), grid);
  }

  override dispose(): void {
    super.dispose();
    this.rope.dispose();
  }

  /** (B, S, patch · outChannels) → (B, outChannels, T, H, W): each token's values to their places. */
  #unpatchify(patches: Tensor, { frames, height, width }: TokenGrid): Tensor {
    const [patchFrames, patchHeight, patchWidth] = this.config.patchSize;
    return patches
      .reshape([-1, frames, height, width, patchFrames, patchHeight, patchWidth, this.config.outChannels])
      .permute([0, 7, 1, 4, 2, 5, 3, 6]) // (B, outChannels, T′, pT, H′, pH, W′, pW)
      .reshape([
        patches.size(0),
        this.config.outChannels,
        frames * patchFrames,
        height * patchHeight,
        width * patchWidth,
      ]);
  }

  #tokenGrid(latents: Tensor): TokenGrid {
    const { inChannels, patchSize } = this.config;
    const [, channels, ...extents] = latents.shape;
    const fits = extents.every((extent, dim) => extent > 0 && extent % patchSize[dim]! === 0);
    if (latents.rank !== 5 || channels !== inChannels || !fits) {
      throw TensorError.argument(
        "transformer",
        "hiddenStates",
        `[B, ${inChannels}, T, H, W] with T, H, W multiples of ${patchSize.join(", ")}`,
        shapeText(latents.shape),
      );
    }
    const [frames, height, width] = extents.map((extent, dim) => extent / patchSize[dim]!);
    return { frames: frames!, height: height!, width: width!, device: latents.device };
  }

  #checkConditions(
    latents: Tensor,
    { frames, height, width }: TokenGrid,
    timestep: readonly number[],
    timestepOfToken: Tensor | undefined,
    context: TransformerContext,
  ): void {
    const batch = latents.size(0);
    const tokens = frames * height * width;
    if (timestepOfToken === undefined && timestep.length !== batch) {
      throw TensorError.argument(
        "transformer",
        "timestep",
        `one for each of ${batch} samples`,
        shapeText(timestep),
      );
    }
    if (timestepOfToken && !hasShape(timestepOfToken, [batch, tokens])) {
      throw TensorError.argument(
        "transformer",
        "timestepOfToken",
        `[${batch}, ${tokens}], samples and tokens`,
        shapeText(timestepOfToken.shape),
      );
    }
    if (context.blocks.length !== this.blocks.length || context.batch !== batch) {
      throw TensorError.argument(
        "transformer",
        "context",
        `made by this model's prepareContext for ${batch} samples`,
        `one of ${context.blocks.length} blocks for ${context.batch} samples`,
      );
    }
  }
}
