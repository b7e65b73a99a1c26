import { decodeHTMLStrict } from "entities";
import { htmlUnescape } from "../html-unescape.ts";

const ENTITY = /&#?[0-9A-Za-z]{1,24};/g;

/**
 * Replaces only the references that end in a semicolon, and those named in capitals for their lower case ("&EACUTE;"),
 * so that "this&not that" stays (ftfy: unescape_html).
 */
export function unescapeEntities(text: string): string {
  return text.replace(ENTITY, (entity) => {
    if (entity[1] === "#") {
      const character = htmlUnescape(entity);
      return character.includes(";") ? entity : character;
    }
    const character = decodeHTMLStrict(entity);
    if (character !== entity) return character;
    // Nothing that HTML knows in part, either: "&AMPERE;" may mean "&" and "ERE;".
    const lower = entity.toLowerCase();
    if (entity !== entity.toUpperCase() || htmlUnescape(entity) !== entity) return entity;
    const lowerCharacter = decodeHTMLStrict(lower);
    return lowerCharacter === lower ? entity : lowerCharacter.toUpperCase();
  });
}
