import { z } from "zod";
import { readTokenizerFile } from "./read-tokenizer-file.ts";
import { TokenizerFileError } from "./tokenizer-file-error.ts";

const MAX_CONFIG_BYTES = 16 * 2 ** 20;

/** A token as text, or as transformers writes an added token. */
const token = z
  .union([z.string(), z.object({ content: z.string() })])
  .transform((value) => (typeof value === "string" ? value : value.content));

/** What is read of tokenizer_config.json; it holds much that only other tokenizers need. */
const tokenizerConfigSchema = z.object({
  /** T5's, when absent. */
  pad_token: token.nullish().transform((value) => value ?? "<pad>"),
  padding_side: z.literal("right", { error: 'supported: "right"' }).optional(),
  truncation_side: z.literal("right", { error: 'supported: "right"' }).optional(),
});

/** What tokenizer_config.json says of padding. */
export interface TokenizerConfig {
  readonly padToken: string;
}

/** @throws TokenizerFileError when the file is absent or malformed, or pads or truncates on the left */
export async function readTokenizerConfig(file: string): Promise<TokenizerConfig> {
  const text = await readTokenizerFile(file, MAX_CONFIG_BYTES);
  const result = tokenizerConfigSchema.safeParse(parseJson(text, file));
  if (result.success) return { padToken: result.data.pad_token };
  const sided = result.error.issues.some(
    ({ path }) => path[0] === "padding_side" || path[0] === "truncation_side",
  );
  const problems = result.error.issues.map(
    ({ path, message }) => `${path.join(".") || "the file"}: ${message}`,
  );
  throw new TokenizerFileError(
    sided ? "TOKENIZER_OPTION_UNSUPPORTED" : "TOKENIZER_FILE_INVALID",
    file,
    problems.join("; "),
  );
}

function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TokenizerFileError("TOKENIZER_FILE_INVALID", file, "isn't JSON", { cause });
  }
}
