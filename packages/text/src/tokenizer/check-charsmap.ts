/**
 * A precompiled charsmap of sentencepiece: the length in bytes of a trie (32 bits, little-endian), the trie as a
 * double array of 32-bit units (Darts), and the texts that characters become, each ended by a zero byte.
 *
 * @param base64 the charsmap as tokenizer.json holds it
 * @returns what is wrong with it, or null: every walk through the trie stays inside it and ends at a text
 */
export function charsmapFault(base64: string): string | null {
  let bytes: Uint8Array;
  // White space between digits is nothing to this decoder, and a fault to the native one.
  if (/\s/.test(base64)) return "isn't base64";
  try {
    bytes = Uint8Array.fromBase64(base64, { lastChunkHandling: "strict" });
  } catch {
    return "isn't base64";
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = bytes.length < 4 ? 0 : view.getUint32(0, true);
  if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes > bytes.length - 4) {
    return `has ${bytes.length} bytes and says that ${trieBytes} of them are its trie`;
  }
  const texts = bytes.subarray(4 + trieBytes);
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(texts);
  } catch {
    return "has texts that aren't UTF-8";
  }
  const units = new Uint32Array(trieBytes / 4);
  for (let index = 0; index < units.length; index++) units[index] = view.getUint32(4 + 4 * index, true);
  return trieFault(units, texts);
}

/** Where the children of the unit at `index` begin. */
function childrenOf(units: Uint32Array, index: number): number {
  const unit = units[index]!;
  return index ^ ((unit >>> 10) << ((unit & 0x200) >>> 6));
}

/** Walks all paths from the root, as every lookup must. */
function trieFault(units: Uint32Array, texts: Uint8Array): string | null {
  const visited = new Uint8Array(units.length);
  const pending = [0];
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    const children = childrenOf(units, index);
    // A child lies at `children ^ byte`.
    if ((children | 0xff) >= units.length) return "has a trie that leads out of itself";
    const hasText = index !== 0 && (units[index]! & 0x100) !== 0;
    const text = units[children]! & 0x7fffffff;
    if (hasText && (text >= texts.length || (texts[text]! & 0xc0) === 0x80)) {
      return "has a trie that ends where no text begins";
    }
    for (let byte = 1; byte <= 0xff; byte++) {
      const child = children ^ byte;
      if (visited[child] === 0 && (units[child]! & 0x800000ff) >>> 0 === byte) {
        visited[child] = 1;
        pending.push(child);
      }
    }
  }
  return null;
}
