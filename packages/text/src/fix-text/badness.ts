import tables from "./tables.json";

const BADNESS = new RegExp(tables.badness.join("|"), "u");

/** Whether some characters stand together as they only do in mojibake (ftfy: badness.is_bad). */
export function isBad(text: string): boolean {
  return BADNESS.test(text);
}
