import type { Umt5Encoder } from "@wan-ts/models";
import {
  allFinite,
  type Cancellation,
  type Device,
  type DType,
  keep,
  pad,
  scope,
  Tensor,
} from "@wan-ts/tensor";
import { cleanPrompt, type Encoded, type Tokenizer } from "@wan-ts/text";
import { NonFiniteError } from "./errors.ts";
import { PromptCache } from "./prompt-cache.ts";
import type { WeightedModel } from "./weighted-model.ts";

/** What turns prompts into embeddings. */
export interface PromptEncoderParts {
  readonly tokenizer: Tokenizer;
  readonly textEncoder: WeightedModel<Umt5Encoder>;
  /** Of the embeddings. */
  readonly dtype: DType;
  /** Where the text encoder is, and the embeddings. */
  readonly device: Device;
  /** Prompts whose embeddings are kept for later calls. */
  readonly cacheSize: number;
}

/**
 * Embeds prompts as diffusers' `_get_t5_prompt_embeds`, each by itself, so that a prompt's embeddings
 * don't depend on those it came with; and once, as long as the cache holds them.
 */
export class PromptEncoder implements Disposable {
  readonly cache: PromptCache;
  readonly #parts: PromptEncoderParts;

  constructor(parts: PromptEncoderParts) {
    this.#parts = parts;
    this.cache = new PromptCache(parts.cacheSize);
  }

  /**
   * Embeddings of each prompt, (1, maxSequenceLength, textDim), which the caller disposes: rows past a
   * prompt's own tokens are zeros, and are attended to later on.
   *
   * The text encoder is borrowed only where a prompt is new.
   *
   * @throws {NonFiniteError}, and whatever reading weights throws.
   */
  async encode(
    prompts: readonly string[],
    maxSequenceLength: number,
    cancellation: Cancellation,
  ): Promise<Tensor[]> {
    const { dtype, device } = this.#parts;
    using tokens = new DisposableStack(); // Embeddings of the prompts' own tokens.
    const states = new Map<string, Tensor>();
    const texts = prompts.map(cleanPrompt);
    for (const text of texts) {
      const held = this.cache.get({ text, maxSequenceLength, dtype });
      if (held) states.set(text, tokens.use(held));
    }
    const fresh = new Set(texts.filter((text) => !states.has(text)));
    if (fresh.size > 0) {
      using borrowed = await this.#parts.textEncoder.borrow();
      for (const text of fresh) {
        const encoded = await this.#parts.tokenizer.encode(text, { maxLength: maxSequenceLength });
        const state = tokens.use(
          cancellation.run(() => encodeTokens(borrowed.module, encoded, dtype, device)),
        );
        if (!(await allFinite(state))) throw new NonFiniteError("prompt embeddings");
        states.set(text, state);
        this.cache.set({ text, maxSequenceLength, dtype }, state);
      }
    }
    return keep(scope(() => texts.map((text) => padTo(states.get(text)!, maxSequenceLength))));
  }

  /** Lets go of the cache. */
  [Symbol.dispose](): void {
    this.cache[Symbol.dispose]();
  }
}

/**
 * States of a prompt's own tokens, (1, length, textDim) of `dtype`. Padding would be masked out of
 * the encoder's attention, so it is left away: the same states for a fraction of the work.
 */
function encodeTokens(
  textEncoder: Umt5Encoder,
  { ids, attentionMask, length }: Encoded,
  dtype: DType,
  device: Device,
): Tensor {
  return scope(() => {
    const inputIds = Tensor.from(ids.subarray(0, length), [1, length]).toDevice(device);
    const mask = Tensor.from(attentionMask.subarray(0, length), [1, length]).toDevice(device);
    return textEncoder.call({ inputIds, attentionMask: mask }).to(dtype);
  });
}

function padTo(states: Tensor, tokens: number): Tensor {
  return pad(states, [
    [0, 0],
    [0, tokens - states.size(1)],
    [0, 0],
  ]);
}
