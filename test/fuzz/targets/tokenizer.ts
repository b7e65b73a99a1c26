import { join } from "node:path";
import { MaxLengthError, Tokenizer, TokenizerFileError } from "@wan-ts/text";
import { accepted, BrokenPromise, type FuzzInput, type FuzzTarget, refusalOf } from "../fuzz-target.ts";
import { mutateJson } from "../mutate-json.ts";

const folderOfSeeds = join(import.meta.dir, "../../../packages/text/fixtures/tokenizers");
const names = ["tokenizer.json", "tokenizer_config.json"] as const;

/**
 * Two tokenizers, by the names of their folders, and whether the real charsmap, of 300 kB, gives way to a small one:
 * the real one takes ten times as long, so that it comes more rarely.
 */
const seedFolders = [
  { folder: "umt5-like", smallCharsmap: false },
  ...Array.from({ length: 9 }, () => ({ folder: "umt5-like", smallCharsmap: true })),
  ...Array.from({ length: 10 }, () => ({ folder: "stored-truncation", smallCharsmap: false })),
];

const maxLength = 48;
const texts: readonly string[] = [
  "",
  "a red ball moves right on a sand background",
  "日本語 ﬁancé ①\u0000\u200d\ufffd 👩‍🚀 e\u0301",
  "long ".repeat(60),
];

/**
 * tokenizer.json and tokenizer_config.json: a refusal that names the file, or a tokenizer that fills
 * every length it is asked for. The native parser must never end the process.
 */
export const tokenizerTarget: FuzzTarget = {
  name: "tokenizer",
  maxResidentBytes: 2 ** 31,
  async open(folder) {
    const seeds = await Promise.all(
      seedFolders.map(async ({ folder: tokenizer, smallCharsmap }) => {
        const [file, config] = await Promise.all(
          names.map((name) => Bun.file(join(folderOfSeeds, tokenizer, name)).json() as Promise<unknown>),
        );
        const shrunk = JSON.stringify(file, (key, value: unknown) =>
          smallCharsmap && key === "precompiled_charsmap" ? charsmapOfOneLetter() : value,
        );
        return [JSON.parse(shrunk) as unknown, config];
      }),
    );
    return {
      input(random) {
        const index = random.below(seeds.length);
        const which = random.oneIn(8) ? 1 : 0;
        return { place: `${index}/${names[which]}`, bytes: mutateJson(seeds[index]?.[which], random) };
      },
      async run({ place, bytes }: FuzzInput) {
        const [index, mutated] = place.split("/");
        for (const [which, name] of names.entries()) {
          const whole = JSON.stringify(seeds[Number(index)]?.[which]);
          await Bun.write(join(folder, name), name === mutated ? bytes : whole);
        }
        try {
          const opened = await Tokenizer.fromDirectory(folder);
          for (const text of texts) checkEncoded(await opened.encode(text, { maxLength }));
          return accepted;
        } catch (error) {
          return refusalOf(error, [TokenizerFileError, MaxLengthError]);
        }
      },
    };
  },
};

/**
 * A charsmap by which "a" becomes "b": the length of its trie, a double array of 32-bit units (Darts), then texts. A
 * unit is a letter, 0x100 where a text ends, and from bit 10 the exclusive or of its place and its children's.
 */
function charsmapOfOneLetter(): string {
  const units = new Uint32Array(256);
  const [letter, children] = [0x61, 0xe1];
  units[letter] = ((letter ^ children) << 10) | 0x100 | letter;
  units[children] = 0x80000000;
  const bytes = new Uint8Array(4 + units.byteLength + 2);
  new DataView(bytes.buffer).setUint32(0, units.byteLength, true);
  for (const [index, unit] of units.entries())
    new DataView(bytes.buffer).setUint32(4 + 4 * index, unit, true);
  bytes.set(new TextEncoder().encode("b\0"), 4 + units.byteLength);
  return bytes.toBase64();
}

function checkEncoded({ ids, attentionMask, length }: Awaited<ReturnType<Tokenizer["encode"]>>): void {
  const ones = attentionMask.reduce((sum, value) => sum + value, 0);
  if (
    ids.length !== maxLength ||
    attentionMask.length !== maxLength ||
    ones !== length ||
    length > maxLength
  ) {
    throw new BrokenPromise(
      `${ids.length} ids, ${attentionMask.length} of mask, ${ones} ones, length ${length}`,
    );
  }
  const negative = ids.find((id) => id < 0);
  if (negative !== undefined) throw new BrokenPromise(`a token id of ${negative}`);
}
