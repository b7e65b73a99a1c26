import type { Umt5Encoder } from "@wan-ts/models";
import { concatenate, type DType, pad, scope, Tensor } from "@wan-ts/tensor";
import { cleanPrompt, type Tokenizer } from "@wan-ts/text";

/** What turns prompts into embeddings. */
export interface PromptEncoder {
  readonly tokenizer: Tokenizer;
  readonly textEncoder: Umt5Encoder;
}

/**
 * Text embeddings of prompts, (prompts, maxSequenceLength, textDim) of `dtype`, as diffusers'
 * `_get_t5_prompt_embeds`: cleaned, tokenized, padded with the mask given to the encoder, and rows
 * past a prompt's own length set to zero. Those rows are attended to later on, as zeros.
 */
export function encodePrompts(
  { tokenizer, textEncoder }: PromptEncoder,
  prompts: readonly string[],
  maxSequenceLength: number,
  dtype: DType,
): Tensor {
  const tokens = prompts.map((prompt) =>
    tokenizer.encode(cleanPrompt(prompt), { maxLength: maxSequenceLength }),
  );
  return scope(() => {
    const shape = [prompts.length, maxSequenceLength];
    const ids = Tensor.from(joined(tokens.map((encoded) => encoded.ids)), shape);
    const attentionMask = Tensor.from(joined(tokens.map((encoded) => encoded.attentionMask)), shape);
    const states = textEncoder.call({ ids, attentionMask }).to(dtype); // (P, S, textDim)
    const rows = tokens.map(({ length }, index) => {
      const own = states.slice(0, index, index + 1).slice(1, 0, length);
      return pad(own, [
        [0, 0],
        [0, maxSequenceLength - length],
        [0, 0],
      ]);
    });
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
