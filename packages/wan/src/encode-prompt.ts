import type { Umt5Encoder } from "@wan-ts/models";
import { concatenate, type DType, pad, scope, Tensor } from "@wan-ts/tensor";
import { cleanPrompt, type Encoded, type Tokenizer } from "@wan-ts/text";

/** Prompts as tokens, each of the same length with its padding. */
export type TokenizedPrompts = readonly Encoded[];

/** Cleans and tokenizes prompts. */
export function tokenizePrompts(
  tokenizer: Tokenizer,
  prompts: readonly string[],
  maxSequenceLength: number,
): Promise<TokenizedPrompts> {
  return Promise.all(
    prompts.map((prompt) => tokenizer.encode(cleanPrompt(prompt), { maxLength: maxSequenceLength })),
  );
}

/**
 * Text embeddings of prompts, (prompts, tokens, textDim) of `dtype`, as diffusers'
 * `_get_t5_prompt_embeds`: rows past a prompt's own length are zeros, and are attended to later on.
 *
 * Padding is masked out of the encoder's attention, so it reads only as many tokens as the longest
 * prompt has: the same states for a fraction of the work.
 */
export function encodePrompts(textEncoder: Umt5Encoder, prompts: TokenizedPrompts, dtype: DType): Tensor {
  const tokens = prompts[0]?.ids.length ?? 0;
  const longest = Math.max(...prompts.map((prompt) => prompt.length));
  const shape = [prompts.length, longest];
  return scope(() => {
    const inputIds = Tensor.from(joined(prompts.map(({ ids }) => ids.subarray(0, longest))), shape);
    const attentionMask = Tensor.from(
      joined(prompts.map((prompt) => prompt.attentionMask.subarray(0, longest))),
      shape,
    );
    const states = textEncoder.call({ inputIds, attentionMask }).to(dtype); // (P, longest, textDim)
    const rows = prompts.map(({ length }, index) =>
      pad(states.slice(0, index, index + 1).slice(1, 0, length), [
        [0, 0],
        [0, tokens - length],
        [0, 0],
      ]),
    );
    return concatenate(rows, 0); // (P, tokens, textDim)
  });
}

/** Each row repeated `count` times, one after the other. */
export function repeatRows(rows: Tensor, count: number): Tensor {
  return scope(() => {
    const [batch, ...rest] = rows.shape as [number, ...number[]];
    return rows
      .unsqueeze(1)
      .expand([batch, count, ...rest])
      .reshape([batch * count, ...rest]);
  });
}

function joined(parts: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
