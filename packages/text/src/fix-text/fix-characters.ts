import tables from "./tables.json";

const LIGATURES = new Map(Object.entries(tables.ligatures));
const LIGATURE = new RegExp(`[${[...LIGATURES.keys()].join("")}]`, "gu");

/** Takes apart ligatures and digraphs of Latin letters that are one character (ftfy: fix_latin_ligatures). */
export function fixLatinLigatures(text: string): string {
  return text.replace(LIGATURE, (ligature) => LIGATURES.get(ligature)!);
}

/** Gives fullwidth and halfwidth forms, and the ideographic space, their usual width (ftfy: fix_character_width). */
export function fixCharacterWidth(text: string): string {
  return text.replace(/[\uff01-\uffef]/gu, (form) => form.normalize("NFKC")).replaceAll("\u3000", " ");
}

/** Straightens curly quotation marks (ftfy: uncurl_quotes). */
export function uncurlQuotes(text: string): string {
  return text.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'");
}

/** Makes every kind of line break a line feed (ftfy: fix_line_breaks). */
export function fixLineBreaks(text: string): string {
  return text.replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n");
}

/** Replaces surrogates that aren't in pairs by U+FFFD (ftfy: fix_surrogates; pairs are characters already). */
export function fixSurrogates(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

const ESCAPE = "\u001b";
/** Any decimal digit counts, as for Python's \d. */
const TERMINAL_ESCAPE = new RegExp(`${ESCAPE}\\[[\\p{Nd};]*[a-zA-Z]`, "gu");

/** Drops the escape sequences that colour text in terminals (ftfy: remove_terminal_escapes). */
export function removeTerminalEscapes(text: string): string {
  return text.replace(TERMINAL_ESCAPE, "");
}

/** Drops control characters without effect on what is seen; C1 controls stay (ftfy: remove_control_chars). */
export function removeControlCharacters(text: string): string {
  return text.replace(/[[\p{Cc}--[\t\n\f\r\u0080-\u009f]]\u206a-\u206f\ufeff\ufff9-\ufffc]/gv, "");
}
