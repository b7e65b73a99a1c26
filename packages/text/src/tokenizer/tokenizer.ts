import { join } from "node:path";
import { Tokenizer as NativeTokenizer } from "tokenizers";
import { checkTokenizerJson } from "./check-tokenizer-json.ts";
import { MaxLengthError } from "./max-length-error.ts";
import { readTokenizerFile } from "./read-tokenizer-file.ts";
import { readTokenizerConfig } from "./tokenizer-config.ts";
import { TokenizerFileError } from "./tokenizer-file-error.ts";

/** UMT5's file, with 256,000 pieces, has 17 MB. */
const MAX_TOKENIZER_BYTES = 256 * 2 ** 20;
/** Beyond any text encoder; Wan's is given 512. */
const MAX_LENGTH = 1_000_000;

const MAX_ID = 2 ** 31 - 1;

/** How `Tokenizer.encode` pads and truncates. */
export interface EncodeOptions {
  /** Tokens in the result, special tokens and padding included. */
  readonly maxLength: number;
}

/** A text as tokens. */
export interface Encoded {
  /** (maxLength) token ids, those after `length` padding. */
  readonly ids: Int32Array;
  /** (maxLength) 1 for each token of the text and special token, 0 for padding. */
  readonly attentionMask: Int32Array;
  /** Tokens that aren't padding. */
  readonly length: number;
}

/** A tokenizer of a tokenizer.json file, as T5's is used: texts truncated and padded on the right. */
export class Tokenizer {
  readonly padId: number;
  readonly #native: NativeTokenizer;
  /** tokenizer.json, for errors. */
  readonly #file: string;
  /** Special tokens that the file puts before and after every text. */
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  private constructor(
    native: NativeTokenizer,
    file: string,
    padId: number,
    before: readonly number[],
    after: readonly number[],
  ) {
    this.#native = native;
    this.#file = file;
    this.padId = padId;
    this.#before = before;
    this.#after = after;
  }

  /**
   * Reads tokenizer.json and tokenizer_config.json. Truncation and padding stored in tokenizer.json don't count, as
   * in transformers, where each call sets its own.
   *
   * @throws TokenizerFileError naming the file and what is wrong with it
   */
  static async fromDirectory(directory: string): Promise<Tokenizer> {
    const file = join(directory, "tokenizer.json");
    const configFile = join(directory, "tokenizer_config.json");
    const text = await readTokenizerFile(file, MAX_TOKENIZER_BYTES);
    const { padToken } = await readTokenizerConfig(configFile);
    const native = parseTokenizer(checkTokenizerJson(text, file), file);
    native.disableTruncation();
    native.disablePadding();
    const padId = native.tokenToId(padToken);
    if (padId === null) {
      const reason = `pad_token is ${JSON.stringify(padToken)}, which tokenizer.json hasn't got`;
      throw new TokenizerFileError("TOKENIZER_FILE_INVALID", configFile, reason);
    }
    const { before, after } = await specialTokensAround(native, file);
    checkIds([padId, ...before, ...after], file);
    return new Tokenizer(native, file, padId, before, after);
  }

  /**
   * The tokens of a text, as `tokenizer(text, padding="max_length", max_length=maxLength, truncation=True,
   * add_special_tokens=True)` of transformers: a long text loses its end, never its special tokens.
   *
   * @throws MaxLengthError when `maxLength` leaves no room for the special tokens
   * @throws TokenizerFileError when tokenizer.json has no way to write the text
   */
  async encode(text: string, { maxLength }: EncodeOptions): Promise<Encoded> {
    const specialTokens = this.#before.length + this.#after.length;
    if (!Number.isInteger(maxLength) || maxLength < Math.max(1, specialTokens) || maxLength > MAX_LENGTH) {
      throw new MaxLengthError(maxLength, Math.max(1, specialTokens), MAX_LENGTH);
    }
    // Truncated here: the native tokenizer's own truncation is a setting, which calls at the same time would share.
    const { ids: all } = await encodeWith(this.#native, text, false, this.#file);
    const content = all.slice(0, maxLength - specialTokens);
    checkIds(content, this.#file);
    const tokens = [...this.#before, ...content, ...this.#after];
    const ids = new Int32Array(maxLength).fill(this.padId);
    ids.set(tokens);
    const attentionMask = new Int32Array(maxLength).fill(1, 0, tokens.length);
    return { ids, attentionMask, length: tokens.length };
  }
}

function parseTokenizer(text: string, file: string): NativeTokenizer {
  try {
    return NativeTokenizer.fromString(text);
  } catch (cause) {
    const reason = `isn't a tokenizer: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new TokenizerFileError("TOKENIZER_FILE_INVALID", file, reason, { cause });
  }
}

/** Encodes a text; what the native tokenizer fails at, such as a vocabulary without an unknown token, is its file's. */
async function encodeWith(
  native: NativeTokenizer,
  text: string,
  addSpecialTokens: boolean,
  file: string,
): Promise<{ ids: number[]; specialTokensMask: number[] }> {
  try {
    const encoding = await native.encode(text, null, { addSpecialTokens });
    return { ids: encoding.getIds(), specialTokensMask: encoding.getSpecialTokensMask() };
  } catch (cause) {
    const reason = `can't encode a text: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new TokenizerFileError("TOKENIZER_FILE_INVALID", file, reason, { cause });
  }
}

/** Ids are 32-bit integers to the models; a file can say up to 2³² − 1. */
function checkIds(ids: readonly number[], file: string): void {
  const largest = ids.find((id) => id > MAX_ID);
  if (largest === undefined) return;
  const reason = `has a token of id ${largest}; ids are at most ${MAX_ID}`;
  throw new TokenizerFileError("TOKENIZER_FILE_INVALID", file, reason);
}

/** Finds what the post-processor adds, by encoding the same text with and without it. */
async function specialTokensAround(
  native: NativeTokenizer,
  file: string,
): Promise<{ before: readonly number[]; after: readonly number[] }> {
  const { ids: content } = await encodeWith(native, "a", false, file);
  const { ids, specialTokensMask } = await encodeWith(native, "a", true, file);
  const start = specialTokensMask.indexOf(0);
  const end = start + content.length;
  if (content.length === 0 || start === -1 || content.some((id, index) => ids[start + index] !== id)) {
    const reason = "has a post-processor that does more than put special tokens before and after the text";
    throw new TokenizerFileError("TOKENIZER_OPTION_UNSUPPORTED", file, reason);
  }
  return { before: ids.slice(0, start), after: ids.slice(end) };
}
