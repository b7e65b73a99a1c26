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
 * `_get_t5_prompt_embeds`: padded with the mask given to the encoder, and rows past a prompt's own
 * length set to zero. Those rows are attended to later on, as zeros.
 */
export function encodePrompts(textEncoder: Umt5Encoder, prompts: TokenizedPrompts, dtype: DType): Tensor {
  const tokens = prompts[0]?.ids.length ?? 0;
  const shape = [prompts.length, tokens];
  return scope(() => {
    const inputIds = Tensor.from(joined(prompts.map((prompt) => prompt.ids)), shape);
    const attentionMask = Tensor.from(joined(prompts.map((prompt) => prompt.attentionMask)), shape);
    const states = textEncoder.call({ inputIds, attentionMask }).to(dtype); // (P, S, textDim)
    const rows = prompts.map(({ length }, index) =>
      pad(states.slice(0, index, index + 1).slice(1, 0, length), [
        [0, 0],
        [0, tokens - length],
        [0, 0],
      ]),
    );
    return concatenate(rows, 0);
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
