import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArguments } from "@wan-ts/app/src/arguments.ts";
import { parseBenchArguments } from "@wan-ts/app/src/bench/arguments.ts";
import { readConfig } from "@wan-ts/app/src/config/read.ts";
import { flags } from "@wan-ts/app/src/flags.ts";
import packageFile from "../../package.json";
import { readFuzzArguments } from "../fuzz/arguments.ts";
import { codeBlocks, documents, documentText } from "./code-blocks.ts";

const blocks = documents.flatMap(codeBlocks);
const commands = blocks
  .filter(({ language }) => language === "sh")
  .flatMap(({ document, line, code }) =>
    code
      .split("\n")
      .map((text, index) => ({ place: `${document}, line ${line + index}`, text: text.trim() }))
      .filter(({ text }) => text !== "" && !text.startsWith("#")),
  );

/** The words of a command line without expansions: plain, or in double quotes. */
function wordsOf(text: string): string[] {
  return Array.from(text.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? "");
}

/** Commands of others that documents may name. */
const foreign: readonly string[] = ["huggingface-cli"];
/** Commands of others that start the app as ranks. */
const launchers: readonly string[] = ["mpirun", "mpiexec.hydra", "srun"];

describe("commands of the documents", () => {
  test("are there", () => expect(commands.length).toBeGreaterThan(5));

  for (const { place, text } of commands) {
    test(`${place}: ${text}`, async () => {
      const words = wordsOf(text);
      const [npx, yes, bun] = words;
      if (npx === "npx") {
        expect([yes, bun]).toEqual(["-y", packageFile.packageManager]);
        words.splice(0, 3, "bun");
      }
      if (words[0] === "timeout") {
        expect(words[1]).toMatch(/^\d+$/);
        words.splice(0, 2);
      }
      const [program, run, script = "", ...rest] = words;
      if (program === "wan-ts-gpu/run") {
        expect(["test", "bench", "doctor"]).toContain(run ?? "");
        if (run === "bench") parseBenchArguments(["--device", "cuda", ...words.slice(2)]);
        return;
      }
      if (foreign.includes(program ?? "")) return;
      if (launchers.includes(program ?? "")) {
        const main = words.indexOf("apps/wan/src/main.ts");
        expect(words[main - 1]).toBe("bun");
        parseArguments(words.slice(main + 1));
        return;
      }
      expect([program, run]).toEqual(["bun", "run"]);
      expect(Object.keys(packageFile.scripts)).toContain(script);
      if (script === "app") parseArguments(rest);
      else if (script === "bench") parseBenchArguments(rest);
      else if (script === "fuzz") expect(readFuzzArguments(rest)).toBeObject();
    });
  }
});

describe("flags and configs of the documents", () => {
  test("flags in tables exist", () => {
    const known = new Set(["--config", "--version", "--help", ...flags.map(({ name }) => name)]);
    for (const document of documents) {
      const rows = documentText(document).matchAll(/^\| `--.*$/gm);
      const named = [...rows].flatMap(([row]) =>
        [...row.matchAll(/`(--[\w-]+)/g)].map(([, name]) => name ?? ""),
      );
      expect(named.filter((name) => !known.has(name))).toEqual([]);
    }
  });

  test("JSON blocks are configs", async () => {
    const json = blocks.filter(({ language }) => language === "json");
    expect(json.length).toBeGreaterThan(0);
    const folder = await mkdtemp(join(tmpdir(), "wan-ts-docs-"));
    try {
      for (const { code } of json) {
        const file = join(folder, "wan.config.json");
        await Bun.write(file, code);
        expect(Object.keys(await readConfig(file))).not.toEqual([]);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("every block is of a language that is tested", () => {
    const languages = new Set(blocks.map(({ language }) => language));
    // Without a language: a drawing.
    expect([...languages].filter((language) => !["", "ts", "sh", "json"].includes(language))).toEqual([]);
  });
});
