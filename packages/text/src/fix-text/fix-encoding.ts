import { isBad } from "./badness.ts";
import { fixC1Controls, singleByteEncodings } from "./single-byte-encodings.ts";
import tables from "./tables.json";
import { decodeUtf8, replaceLossySequences, restoreByteA0 } from "./utf8-bytes.ts";

const { utf8FirstOf2, utf8FirstOf3, utf8FirstOf4, utf8Continuation, utf8ContinuationStrict } =
  tables.utf8Clues;

/** Runs of characters that look like UTF-8 sequences read in some single-byte encoding. */
const EMBEDDED_UTF8 = new RegExp(
  `(?<![${utf8ContinuationStrict}])(?:[${utf8FirstOf2}][${utf8Continuation}]` +
    `|[${utf8FirstOf3}][${utf8Continuation}]{2}|[${utf8FirstOf4}][${utf8Continuation}]{3})+`,
  "gu",
);
const ASCII = /^\p{ASCII}*$/u;
const C1_CONTROL = /[\x80-\x9f]/;
/** Bytes that Windows-1252 leaves unassigned. */
const UNASSIGNED_IN_WINDOWS_1252 = /[\x81\x8d\x8f\x90\x9d]/;

/**
 * Undoes mojibake: text in UTF-8 that was read in another encoding, once or several times, wholly or in places
 * (ftfy: fix_encoding). Text that doesn't look like mojibake stays as it is.
 */
export function fixEncoding(text: string): string {
  for (let current = text; ; ) {
    const fixed = fixEncodingOnce(current);
    if (fixed === current) return fixed;
    current = fixed;
  }
}

function fixEncodingOnce(text: string): string {
  if (ASCII.test(text) || !isBad(text)) return text;

  let isLatin1 = false;
  for (const encoding of singleByteEncodings) {
    const encoded = encoding.encode(text);
    if (encoded === null) continue;
    isLatin1 ||= encoding.name === "latin-1";
    // In MacRoman the sequence is an en dash and a space, which is common in sound text.
    const restored = encoding.name === "macroman" ? encoded : restoreByteA0(encoded);
    const decoded = decodeUtf8(encoding.sloppy ? replaceLossySequences(restored) : restored);
    if (decoded !== null) return decoded;
  }

  const inconsistent = text.replace(EMBEDDED_UTF8, (part) =>
    part.length < text.length && isBad(part) ? fixEncoding(part) : part,
  );
  if (inconsistent !== text) return inconsistent;

  if (isLatin1 && !UNASSIGNED_IN_WINDOWS_1252.test(text)) {
    const windows1252 = fixC1Controls(text);
    if (windows1252 !== text) return windows1252;
  }
  return C1_CONTROL.test(text) ? fixC1Controls(text) : text;
}
