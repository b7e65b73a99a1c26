/** A place of a header that isn't the JSON of the format. */
export class HeaderSyntax extends Error {
  override readonly name = "HeaderSyntax";
  readonly expected: string;
  readonly found: string;

  constructor(expected: string, found: string) {
    super(`expected ${expected}, found ${found}`);
    this.expected = expected;
    this.found = found;
  }
}

const space = /[ \t\n\r]*/y;
/** An integer in digits alone: what a fraction or exponent follows is no count. */
const count = /(?:0|[1-9][0-9]*)(?![0-9.eE])/y;
const shownCharacters = 24;

/**
 * Reads JSON token by token. `JSON.parse` keeps the last of two equal keys and reads `1.0` as it
 * reads `1`, so that a header read by it can't be told right from wrong.
 */
export class HeaderScanner {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Reads an object, calling `member` with each key, to read its value. */
  object(what: string, member: (key: string) => void): void {
    this.#list("{", "}", what, () => {
      const key = this.string("a key");
      if (!this.#take(":")) this.fail('":"');
      member(key);
    });
  }

  /** Reads an array, calling `element` to read each of its elements. */
  array(what: string, element: () => void): void {
    this.#list("[", "]", what, element);
  }

  /** Reads a string. */
  string(what: string): string {
    this.#skipSpace();
    const start = this.#position;
    if (this.#text[start] !== '"') this.fail(what);
    let end = start + 1;
    while (this.#text[end] !== '"') {
      if (end >= this.#text.length) this.fail("the end of a string");
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    const value = unescaped(this.#text.slice(start, end + 1));
    // A lone half of a surrogate pair is no text: what a native reader calls the name would differ.
    if (value === undefined || !value.isWellFormed()) this.fail("a well-formed string");
    this.#position = end + 1;
    return value;
  }

  /** Reads an integer of 0 to 2⁵³ − 1. */
  count(what: string): number {
    this.#skipSpace();
    count.lastIndex = this.#position;
    const digits = count.exec(this.#text)?.[0];
    const value = Number(digits);
    if (digits === undefined || !Number.isSafeInteger(value)) this.fail(what);
    this.#position += digits.length;
    return value;
  }

  /** Demands that nothing but white space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#position < this.#text.length) this.fail("the end of the header");
  }

  /** Refuses what comes next. */
  fail(expected: string): never {
    const rest = this.#text.slice(this.#position, this.#position + shownCharacters);
    const found = rest === "" ? "the end of the header" : JSON.stringify(rest);
    throw new HeaderSyntax(expected, `${found} at character ${this.#position}`);
  }

  #list(open: string, close: string, what: string, item: () => void): void {
    if (!this.#take(open)) this.fail(what);
    if (this.#take(close)) return;
    do item();
    while (this.#take(","));
    if (!this.#take(close)) this.fail(`"," or "${close}"`);
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#position] !== character) return false;
    this.#position += 1;
    return true;
  }

  #skipSpace(): void {
    space.lastIndex = this.#position;
    space.test(this.#text);
    this.#position = space.lastIndex;
  }
}

/** The value of a string literal, or undefined where it has escapes or characters that JSON hasn't. */
function unescaped(literal: string): string | undefined {
  try {
    const value: unknown = JSON.parse(literal);
    return typeof value === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
