import { LayerNorm, Linear, Module, type Parameter } from "@wan-ts/nn";
import { add, type Device, type DType, embedding, silu, type Tensor, TensorError } from "@wan-ts/tensor";
import { shapeText } from "../shape.ts";
import type { TransformerConfig } from "./config.ts";
import { FeedForward } from "./feed-forward.ts";
import { timestepEmbedding } from "./timestep-embedding.ts";

/** Shift, scale and gate of a block's self-attention, then of its feed-forward. */
export const blockModulations = 6;

/** diffusers' `FP32LayerNorm` has this where a model's own is not handed to it. */
const imageNormEpsilon = 1e-5;

/** A time per sample, or per token. */
export interface TimeInput {
  /** Timesteps of the schedule, 0 to 1000: one per sample, or those that `timestepOfToken` refers to. */
  readonly timestep: readonly number[];
  /** int32 or int64 (B, S): the index in `timestep` of each token's. */
  readonly timestepOfToken?: Tensor | undefined;
}

/** What blocks and output norm are modulated by. N is 1, or S where each token has its own time. */
export interface TimeEmbedding {
  /** (B, N, C), of the model's dtype. */
  readonly temb: Tensor;
  /** (B, N, 6, C), of the model's dtype. */
  readonly timestepProj: Tensor;
}

/** Embeds timesteps, text and image; parameters as diffusers' `WanTimeTextImageEmbedding`. */
export class ConditionEmbedder extends Module<TimeInput & { dtype: DType; device?: Device }, TimeEmbedding> {
  readonly timeEmbedder: TwoLayers;
  readonly timeProj: Linear;
  readonly textEmbedder: TwoLayers;
  readonly imageEmbedder: ImageEmbedder | undefined;
  readonly #frequencyDim: number;

  constructor(config: TransformerConfig) {
    super();
    const dim = config.numAttentionHeads * config.attentionHeadDim;
    this.timeEmbedder = this.child("time_embedder", new TwoLayers(config.freqDim, dim, "silu"));
    this.timeProj = this.child("time_proj", new Linear(dim, blockModulations * dim));
    this.textEmbedder = this.child("text_embedder", new TwoLayers(config.textDim, dim, "geluTanh"));
    this.imageEmbedder =
      config.imageDim === null
        ? undefined
        : this.child("image_embedder", new ImageEmbedder(config.imageDim, dim, config.posEmbedSeqLen));
    this.#frequencyDim = config.freqDim;
  }

  /** Times → modulations, in `dtype`, the model's. Each distinct timestep is embedded once. */
  protected override forward({
    timestep,
    timestepOfToken,
    dtype,
    device = "cpu",
  }: TimeInput & { dtype: DType; device?: Device }): TimeEmbedding {
    const frequencies = timestepEmbedding(timestep, this.#frequencyDim, device); // (T, frequencies), float32
    // The time embedder stays in float32 whatever the model's dtype: bfloat16 can't tell timestep
    // 998 from 999. Its output is rounded, and what follows is in the model's dtype.
    const temb = this.timeEmbedder.call({ input: frequencies }).to(dtype); // (T, C)
    const timestepProj = this.timeProj.call({ input: silu(temb) }); // (T, 6·C)
    const spread = (perTimestep: Tensor) =>
      timestepOfToken ? embedding(perTimestep, timestepOfToken) : perTimestep.unsqueeze(1);
    return {
      temb: spread(temb), // (B, N, C)
      timestepProj: splitModulations(spread(timestepProj)), // (B, N, 6, C)
    };
  }
}

function splitModulations(projected: Tensor): Tensor {
  return projected.reshape([projected.size(0), projected.size(1), blockModulations, -1]);
}

/** Linear, activation, linear; parameters as diffusers' `TimestepEmbedding` and `PixArtAlphaTextProjection`. */
class TwoLayers extends Module<{ input: Tensor }, Tensor> {
  readonly first: Linear;
  readonly second: Linear;

  constructor(inputs: number, dim: number, activation: "silu" | "geluTanh") {
    super();
    this.first = this.child("linear_1", new Linear(inputs, dim, { activation }));
    this.second = this.child("linear_2", new Linear(dim, dim));
  }

  /** (…, inputs) → (…, dim). */
  protected override forward({ input }: { input: Tensor }): Tensor {
    return this.second.call({ input: this.first.call({ input }) });
  }
}

/** Image encoder states to context tokens; parameters as diffusers' `WanImageEmbedding`. */
class ImageEmbedder extends Module<{ input: Tensor }, Tensor> {
  readonly norm1: LayerNorm;
  readonly feedForward: FeedForward;
  readonly norm2: LayerNorm;
  /** Positions of the tokens of first and last frame, for models that take both. */
  readonly posEmbed: Parameter | undefined;

  constructor(imageDim: number, dim: number, positions: number | null) {
    super();
    this.posEmbed = positions === null ? undefined : this.parameter("pos_embed", [1, positions, imageDim]);
    this.norm1 = this.child("norm1", new LayerNorm(imageDim, { epsilon: imageNormEpsilon }));
    // The exact GELU here, where the rest of the model has the tanh approximation.
    this.feedForward = this.child(
      "ff",
      new FeedForward({ inputs: imageDim, inner: imageDim, outputs: dim, activation: "gelu" }),
    );
    this.norm2 = this.child("norm2", new LayerNorm(dim, { epsilon: imageNormEpsilon }));
  }

  /** (B, tokens, imageDim) → (B, tokens, C). With positions: (2·B, tokens, …) → (B, 2·tokens, …). */
  protected override forward({ input }: { input: Tensor }): Tensor {
    // Norms are computed in float32 and rounded to the model's dtype, between layers in that dtype.
    const hiddenStates = this.norm1.call({ input: this.#positioned(input) });
    return this.norm2.call({ input: this.feedForward.call({ input: hiddenStates }) });
  }

  #positioned(input: Tensor): Tensor {
    if (!this.posEmbed) return input;
    const [, positions, dim] = this.posEmbed.shape as readonly [number, number, number];
    if (input.size(0) % 2 !== 0 || 2 * input.size(1) !== positions) {
      throw TensorError.argument(
        "imageEmbedder",
        "encoderHiddenStatesImage",
        `[2·B, ${positions / 2}, ${dim}]: a first and a last frame for each sample`,
        shapeText(input.shape),
      );
    }
    const pairs = input.reshape([input.size(0) / 2, positions, dim]); // (B, 2·tokens, imageDim)
    return add(pairs, this.posEmbed.value);
  }
}
