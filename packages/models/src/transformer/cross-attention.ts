import type { AttentionDispatcher } from "@wan-ts/attention";
import { Linear, Module, RmsNorm } from "@wan-ts/nn";
import { add, scope, type Tensor } from "@wan-ts/tensor";
import { type AttentionSettings, mergeHeads, splitHeads } from "./self-attention.ts";

/** Keys, normed, and values of context tokens: what cross-attention needs of them. */
export interface KeyValue {
  /** (B, L, H, D). */
  readonly key: Tensor;
  /** (B, L, H, D). */
  readonly value: Tensor;
}

/** One block's keys and values of the text, and of the image where the model has one. */
export interface CrossAttentionContext {
  readonly text: KeyValue;
  readonly image?: KeyValue | undefined;
}

/** Embedded context tokens. */
export interface ContextTokens {
  /** (B, L, C). */
  readonly text: Tensor;
  /** (B, L′, C). */
  readonly image?: Tensor | undefined;
}

/** The arguments of {@link CrossAttention}. */
export interface CrossAttentionInput {
  /** (B, S, C). */
  readonly hiddenStates: Tensor;
  readonly context: CrossAttentionContext;
}

interface ImageProjections {
  readonly addKProj: Linear;
  readonly addVProj: Linear;
  readonly normAddedK: RmsNorm;
}

/** Attention of a video's tokens to text and image; parameters as diffusers' `WanAttention`. */
export class CrossAttention extends Module<CrossAttentionInput, Tensor> {
  readonly toQ: Linear;
  readonly toK: Linear;
  readonly toV: Linear;
  readonly toOut: Linear;
  readonly normQ: RmsNorm;
  readonly normK: RmsNorm;
  /** Present where image tokens have keys and values of their own. */
  readonly image: ImageProjections | undefined;
  readonly heads: number;
  readonly #attention: AttentionDispatcher;

  /** @param settings `imageDim` is the width of embedded image tokens, null where there are none. */
  constructor(
    settings: AttentionSettings & { readonly imageDim: number | null },
    attention: AttentionDispatcher,
  ) {
    super();
    const { heads, headDim, epsilon, imageDim } = settings;
    const dim = heads * headDim;
    this.toQ = this.child("to_q", new Linear(dim, dim));
    this.toK = this.child("to_k", new Linear(dim, dim));
    this.toV = this.child("to_v", new Linear(dim, dim));
    this.toOut = this.child("to_out.0", new Linear(dim, dim));
    this.normQ = this.child("norm_q", new RmsNorm(dim, { epsilon }));
    this.normK = this.child("norm_k", new RmsNorm(dim, { epsilon }));
    if (imageDim !== null) {
      this.image = {
        addKProj: this.child("add_k_proj", new Linear(imageDim, dim)),
        addVProj: this.child("add_v_proj", new Linear(imageDim, dim)),
        normAddedK: this.child("norm_added_k", new RmsNorm(dim, { epsilon })),
      };
    }
    this.heads = heads;
    this.#attention = attention;
  }

  /** Keys and values of context tokens, the same at every step of a run. Held by the scope around. */
  prepareContext({ text, image }: ContextTokens): CrossAttentionContext {
    return {
      text: this.#keyValue(text, this.toK, this.normK, this.toV),
      image:
        this.image && image
          ? this.#keyValue(image, this.image.addKProj, this.image.normAddedK, this.image.addVProj)
          : undefined,
    };
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward({ hiddenStates, context }: CrossAttentionInput): Tensor {
    const query = scope(() => {
      const normed = this.normQ.call({ input: this.toQ.call({ input: hiddenStates }) });
      return splitHeads(normed, this.heads); // (B, S, H, D)
    });
    const attend = (tokens: KeyValue) =>
      mergeHeads(this.#attention.attend({ query, key: tokens.key, value: tokens.value }).output); // (B, S, C)
    const toText = attend(context.text);
    // Text and image are attended to apart, each with a softmax of its own. Both results are
    // rounded to the model's dtype before they are added, and the sum once more.
    const attended = context.image ? add(toText, attend(context.image)) : toText;
    return this.toOut.call({ input: attended });
  }

  #keyValue(input: Tensor, toKey: Linear, normKey: RmsNorm, toValue: Linear): KeyValue {
    return scope(() => ({
      // Normed over all heads together, before they part.
      key: splitHeads(normKey.call({ input: toKey.call({ input }) }), this.heads), // (B, L, H, D)
      value: splitHeads(toValue.call({ input }), this.heads), // (B, L, H, D)
    }));
  }
}
