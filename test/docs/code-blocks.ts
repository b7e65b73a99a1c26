import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** The repository. */
export const root = join(import.meta.dir, "../..");

/** A fenced block of code of a document. */
export interface CodeBlock {
  /** The document's path from the repository. */
  readonly document: string;
  /** The line of the block's first line of code, from 1. */
  readonly line: number;
  /** The first word after the fence, such as `ts`; "" for none. */
  readonly language: string;
  /** What follows it, such as `no-run`; "" for nothing. */
  readonly kind: string;
  readonly code: string;
}

/** What a block of TypeScript is for, beside being a program to run, and how it is told. */
export const typescriptKinds = {
  program: "",
  /** Needs what no test has, such as a checkpoint of 14B: checked for types alone. */
  notRun: "no-run",
  /** Runs under `bun test`. */
  test: "test",
  /** A config file. */
  config: "config",
  /** A module that blocks after it import as `./example-backend.ts`. */
  module: "example-backend",
} as const;

/** README.md, ARCHITECTURE.md and every page of docs. */
export const documents: readonly string[] = [
  "README.md",
  "ARCHITECTURE.md",
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .toSorted()
    .map((name) => `docs/${name}`),
];

/** The text of a document. */
export function documentText(document: string): string {
  return readFileSync(join(root, document), "utf8");
}

/** Every fenced block of a document, in order. */
export function codeBlocks(document: string): CodeBlock[] {
  const text = documentText(document);
  return Array.from(text.matchAll(/^```([^\n`]*)\n(.*?)^```$/gms), (match) => {
    const [language = "", kind = ""] = (match[1] ?? "").trim().split(/\s+/);
    const line = text.slice(0, match.index).split("\n").length + 1;
    return { document, line, language, kind, code: match[2] ?? "" };
  });
}

/** A file name for a block that tells where it stands. */
export function fileNameOf({ document, line, kind }: CodeBlock): string {
  if (kind === typescriptKinds.module) return `${kind}.ts`;
  const name = `${basename(document, ".md").toLowerCase()}-${line}`;
  return kind === typescriptKinds.test ? `${name}.test.ts` : `${name}.ts`;
}
