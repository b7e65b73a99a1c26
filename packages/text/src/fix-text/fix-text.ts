import {
  fixCharacterWidth,
  fixLatinLigatures,
  fixLineBreaks,
  fixSurrogates,
  removeControlCharacters,
  removeTerminalEscapes,
  uncurlQuotes,
} from "./fix-characters.ts";
import { fixEncoding } from "./fix-encoding.ts";
import { fixC1Controls } from "./single-byte-encodings.ts";
import { unescapeEntities } from "./unescape-entities.ts";

/** Characters that are fixed at once at most, which bounds the time that a long line takes. */
const MAX_SEGMENT = 1_000_000;

/**
 * Repairs text that went through wrong encodings and careless copying, as `fix_text` of ftfy 6.3 with its defaults:
 * mojibake, HTML entities, ligatures, widths, quotation marks, line breaks, surrogates, escapes and controls, then
 * Unicode's NFC. Lines are fixed one by one; from the first with a "<" on, entities stay, for the text may be HTML.
 */
export function fixText(text: string): string {
  let unescapes = true;
  let fixed = "";
  for (const segment of segments(text)) {
    unescapes &&= !segment.includes("<");
    fixed += fixSegment(segment, unescapes);
  }
  return fixed;
}

function* segments(text: string): Generator<string> {
  for (const [line] of text.matchAll(/[^\n]*\n|[^\n]+/g)) {
    if (line.length <= MAX_SEGMENT) {
      yield line;
      continue;
    }
    const characters = Array.from(line);
    for (let start = 0; start < characters.length; start += MAX_SEGMENT) {
      yield characters.slice(start, start + MAX_SEGMENT).join("");
    }
  }
}

/** Repeats the fixes until none changes anything: one may uncover what another mends. */
function fixSegment(segment: string, unescapes: boolean): string {
  for (let current = segment; ; ) {
    let text = unescapes ? unescapeEntities(current) : current;
    text = fixEncoding(text);
    text = fixC1Controls(text);
    text = fixLatinLigatures(text);
    text = fixCharacterWidth(text);
    text = uncurlQuotes(text);
    text = fixLineBreaks(text);
    text = fixSurrogates(text);
    text = removeTerminalEscapes(text);
    text = removeControlCharacters(text);
    text = text.normalize("NFC");
    if (text === current) return text;
    current = text;
  }
}
