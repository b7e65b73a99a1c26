import type { ByteString } from "./single-byte-encodings.ts";

/** UTF-8 sequences that would be valid, had a space not taken the place of byte A0 (ftfy: ALTERED_UTF8_RE). */
const ALTERED = new RegExp(
  [
    "[\xc2\xc3\xc5\xce\xd0\xd9] ",
    "[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
    "[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
    "\xf0 [\x80-\xbf][\x80-\xbf]",
    "\xf0[\x80-\xbf] [\x80-\xbf]",
    "\xf0[\x80-\xbf][\x80-\xbf] ",
  ].join("|"),
  "g",
);

/** "à" as a word of its own, whose second byte and the space after it became one space (ftfy: A_GRAVE_WORD_RE). */
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;

/** Puts back bytes A0 that someone took for spaces, where UTF-8 sequences then become whole. */
export function restoreByteA0(bytes: ByteString): ByteString {
  if (bytes.search(ALTERED) === -1) return bytes;
  return bytes
    .replace(A_GRAVE_WORD, "\xc3\xa0 ")
    .replace(ALTERED, (sequence) => sequence.replaceAll(" ", "\xa0"));
}

/** UTF-8 and CESU-8 sequences of which bytes were lost: 1A, or at most one "?" (ftfy: LOSSY_UTF8_RE). */
const LOSSY = new RegExp(
  [
    "[\xc2-\xdf]\x1a",
    "[\xc2-\xc3][?]",
    "\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]",
    "\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
    "[\xe0-\xef][\x1a?][\x1a\x80-\xbf]",
    "[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
    "[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]",
    "[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
    "[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]",
    "\x1a",
  ].join("|"),
  "g",
);

/** Replaces sequences that lost bytes by U+FFFD in UTF-8. */
export function replaceLossySequences(bytes: ByteString): ByteString {
  return bytes.replace(LOSSY, "\xef\xbf\xbd");
}

/** A character beyond U+FFFF as two surrogates of three bytes each. */
const CESU8 = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g;

/** Decodes CESU-8 and Java's two-byte null besides UTF-8 (ftfy: the codec utf-8-variants). */
function variantsToUtf8(bytes: ByteString): ByteString {
  return bytes
    .replace(CESU8, (...bits: string[]) => {
      const [high, middle, low, last] = bits.slice(1, 5).map((byte) => byte.charCodeAt(0));
      const code =
        0x10000 + ((high! & 0x0f) << 16) + ((middle! & 0x3f) << 10) + ((low! & 0x0f) << 6) + (last! & 0x3f);
      return String.fromCharCode(...new TextEncoder().encode(String.fromCodePoint(code)));
    })
    .replaceAll("\xc0\x80", "\x00");
}

/** Decodes UTF-8, with its variants where bytes ED or C0 hint at them; null when the bytes aren't that. */
export function decodeUtf8(bytes: ByteString): string | null {
  const utf8 = /[\xed\xc0]/.test(bytes) ? variantsToUtf8(bytes) : bytes;
  const array = Uint8Array.from(utf8, (byte) => byte.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(array);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
