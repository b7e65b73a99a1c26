import { decodeHTML } from "entities";

/** A character reference, its semicolon optional: Python's `html._charref`. */
const CHARACTER_REFERENCE = /&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/g;

/** Code points that Python's html.unescape drops: control characters and what Unicode gives no character. */
function isInvalidCodePoint(code: number): boolean {
  return (
    (code >= 0x1 && code <= 0x8) ||
    code === 0xb ||
    (code >= 0xe && code <= 0x1f) ||
    code === 0x7f ||
    (code >= 0xfdd0 && code <= 0xfdef) ||
    (code & 0xfffe) === 0xfffe
  );
}

/**
 * Replaces named and numeric character references, as Python's `html.unescape`: semicolons may be absent where HTML 5
 * allows it, unknown references stay, references to what isn't a character vanish.
 */
export function htmlUnescape(text: string): string {
  return text.replace(CHARACTER_REFERENCE, (reference) => {
    if (reference[1] !== "#") return decodeHTML(reference);
    const digits = reference.slice(2).replace(";", "");
    const code = /^[xX]/.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
    // The entities package maps what browsers map: 0, surrogates, and C1 controls to Windows-1252.
    return isInvalidCodePoint(code) && code <= 0x10ffff ? "" : decodeHTML(`&#${code > 0x10ffff ? 0 : code};`);
  });
}
