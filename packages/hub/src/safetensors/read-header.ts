import { type FileHandle, open, stat } from "node:fs/promises";
import { SafetensorsError, type SafetensorsErrorFacts } from "../errors.ts";
import { lengthBytes, maxHeaderBytes, parseSafetensorsHeader, type SafetensorsHeader } from "./header.ts";

/** Bytes by which other formats are recognised. */
const signatureBytes = 32;

/**
 * Reads and checks the header of a safetensors file: names, shapes and dtypes, without the weights
 * and without the native addon.
 *
 * @throws SafetensorsError where the file can't be read or isn't right as a whole.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  // Asked before opening: to open a pipe would wait for its writer.
  const stats = await readable(path, () => stat(path));
  if (!stats.isFile()) {
    const found = stats.isDirectory() ? "a directory" : "a device or pipe";
    throw new SafetensorsError({ code: "notAFile", file: path, expected: "a regular file", found });
  }
  const handle = await readable(path, () => open(path, "r"));
  try {
    return await readable(path, () => readHeader(handle, path, stats.size));
  } finally {
    await handle.close();
  }
}

async function readHeader(handle: FileHandle, file: string, fileBytes: number): Promise<SafetensorsHeader> {
  const start = await readExactly(handle, file, 0, Math.min(signatureBytes, fileBytes));
  if (fileBytes < lengthBytes) {
    throw new SafetensorsError({
      code: "fileLength",
      file,
      expected: `at least ${lengthBytes} bytes`,
      found: `${fileBytes}`,
    });
  }
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  const allowed = Math.min(fileBytes - lengthBytes, maxHeaderBytes);
  const startsAsJson = start[lengthBytes] === 0x7b;
  if (length > allowed || !startsAsJson) {
    const foreign = recogniseForeign(start);
    if (foreign) throw new SafetensorsError({ file, ...foreign });
  }
  if (length > allowed) {
    throw new SafetensorsError({
      code: "headerLength",
      file,
      expected: `a header of at most ${allowed} bytes`,
      found: `${length}`,
    });
  }
  return parseSafetensorsHeader(
    await readExactly(handle, file, lengthBytes, Number(length)),
    file,
    fileBytes,
  );
}

/** Names what a file is by its first bytes, where it is a well-known other format. */
function recogniseForeign(
  start: Uint8Array,
): Pick<SafetensorsErrorFacts, "code" | "expected" | "found"> | undefined {
  const expected = "a safetensors file";
  // Node's latin1 keeps every byte; that of TextDecoder is windows-1252.
  const text = Buffer.from(start).toString("latin1");
  if (text.startsWith("PK\x03\x04") || text.startsWith("PK\x05\x06")) {
    const found =
      "a zip archive, as PyTorch writes .pt, .bin and .ckpt (pickles, which run code when loaded): " +
      "convert it to safetensors";
    return { code: "pickle", expected, found };
  }
  const [opcode = 0, protocol = 0] = start;
  if (opcode === 0x80 && protocol >= 2 && protocol <= 5) {
    const found = "a Python pickle (which runs code when loaded): convert it to safetensors";
    return { code: "pickle", expected, found };
  }
  if (text.startsWith("version https://git-lfs")) {
    const found = "a Git LFS pointer in place of the file: fetch it with `git lfs pull`";
    return { code: "lfsPointer", expected, found };
  }
  return undefined;
}

async function readExactly(
  handle: FileHandle,
  file: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) {
      throw new SafetensorsError({
        code: "fileLength",
        file,
        expected: `${position + length} bytes`,
        found: `${position + filled}: the file was shortened while it was read`,
      });
    }
    filled += bytesRead;
  }
  return bytes;
}

async function readable<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    if (SafetensorsError.isInstance(cause)) throw cause;
    const found = cause instanceof Error ? cause.message : String(cause);
    throw new SafetensorsError({ code: "io", file, expected: "a readable file", found, cause });
  }
}
