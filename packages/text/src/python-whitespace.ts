/** What Python's `str.isspace`, `str.strip` and `\s` take for whitespace, as the body of a character class. */
const PYTHON_WHITESPACE = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;

/** Replaces each run of whitespace by one space, as `re.sub(r"\s+", " ", text)` of Python. */
export function collapseWhitespace(text: string): string {
  return text.replace(new RegExp(`[${PYTHON_WHITESPACE}]+`, "g"), " ");
}

/** Drops whitespace at both ends, as `str.strip` of Python. */
export function strip(text: string): string {
  return text.replace(new RegExp(`^[${PYTHON_WHITESPACE}]+|[${PYTHON_WHITESPACE}]+$`, "g"), "");
}
