import tables from "./tables.json";

/** Bytes as a string of the characters U+0000 to U+00FF, so that regular expressions can search them. */
export type ByteString = string;

/** An encoding of one byte a character, whose lower half is ASCII. */
export interface SingleByteEncoding {
  readonly name: string;
  /**
   * Whether unassigned bytes stand for the C1 controls, and byte 1A for U+FFFD: a character that was lost when
   * someone decoded the text.
   */
  readonly sloppy: boolean;
  /** The bytes of `text`, or null when the encoding lacks one of its characters. */
  encode(text: string): ByteString | null;
}

const REPLACEMENT = "\ufffd";
const SUBSTITUTE = "\x1a";

function singleByteEncoding(name: string, sloppy: boolean, upperHalf: string): SingleByteEncoding {
  const bytes = new Map<string, string>();
  for (let byte = 0; byte < 0x80; byte++) bytes.set(String.fromCharCode(byte), String.fromCharCode(byte));
  for (const [index, character] of Array.from(upperHalf).entries()) {
    bytes.set(character, String.fromCharCode(0x80 + index));
  }
  if (sloppy) {
    bytes.delete(SUBSTITUTE);
    bytes.set(REPLACEMENT, SUBSTITUTE);
  }
  return {
    name,
    sloppy,
    encode(text) {
      let encoded = "";
      for (const character of text) {
        const byte = bytes.get(character);
        if (byte === undefined) return null;
        encoded += byte;
      }
      return encoded;
    },
  };
}

/** The encodings whose mojibake is undone, likeliest first. */
export const singleByteEncodings: readonly SingleByteEncoding[] = tables.encodings.map(
  ({ name, sloppy, upperHalf }) => singleByteEncoding(name, sloppy, upperHalf),
);

const WINDOWS_1252 = tables.encodings.find(({ name }) => name === "sloppy-windows-1252")!.upperHalf;

/** Replaces C1 controls by what their bytes mean in Windows-1252 (ftfy: fix_c1_controls). */
export function fixC1Controls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => WINDOWS_1252[control.charCodeAt(0) - 0x80]!);
}
