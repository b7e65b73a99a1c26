import { stat } from "node:fs/promises";
import { TokenizerFileError } from "./tokenizer-file-error.ts";

/**
 * Reads a text file of at most `maxBytes` bytes.
 *
 * @throws TokenizerFileError when it is absent, no file, too large, or not UTF-8
 */
export async function readTokenizerFile(file: string, maxBytes: number): Promise<string> {
  const found = await stat(file).catch((cause: NodeJS.ErrnoException) => {
    const absent = cause.code === "ENOENT" || cause.code === "ENOTDIR";
    const reason = absent
      ? "there is no such file, and a tokenizer needs it"
      : `can't be read: ${cause.message}`;
    throw new TokenizerFileError("TOKENIZER_FILE_MISSING", file, reason, { cause });
  });
  if (!found.isFile()) throw new TokenizerFileError("TOKENIZER_FILE_MISSING", file, "isn't a file");
  if (found.size > maxBytes) {
    const reason = `has ${found.size} bytes, more than the ${maxBytes} that are read`;
    throw new TokenizerFileError("TOKENIZER_FILE_TOO_LARGE", file, reason);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await Bun.file(file).bytes());
  } catch (cause) {
    throw new TokenizerFileError("TOKENIZER_FILE_INVALID", file, "isn't text in UTF-8", { cause });
  }
}
