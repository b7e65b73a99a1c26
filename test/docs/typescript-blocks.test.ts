import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { readConfig } from "@wan-ts/app/src/config/read.ts";
import { type CodeBlock, codeBlocks, documents, fileNameOf, root, typescriptKinds } from "./code-blocks.ts";

// Below the package, so that blocks find what they import as another package's code would.
const folder = join(import.meta.dir, `../node_modules/.cache/docs-${process.pid}`);
const blocks = documents.flatMap(codeBlocks).filter(({ language }) => language === "ts");
const slowest = 120_000;

beforeAll(async () => {
  await mkdir(folder, { recursive: true });
  await symlink(join(root, "models"), join(folder, "models"));
  for (const block of blocks) await Bun.write(join(folder, fileNameOf(block)), block.code);
  const tsconfig = { extends: join(root, "tsconfig.base.json"), include: ["*.ts"] };
  await Bun.write(join(folder, "tsconfig.json"), JSON.stringify(tsconfig));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs a command in the folder of blocks; its status, and what it wrote where it failed. */
async function run(line: readonly string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn([...line], { cwd: folder, stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, output: `${output}${errors}` };
}

const ok = { status: 0, output: expect.any(String) as string };
const titleOf = (block: CodeBlock): string => `${block.document}, line ${block.line}`;

describe("TypeScript of the documents", () => {
  test("is there, and of known kinds", () => {
    expect(blocks.length).toBeGreaterThan(10);
    const kinds: readonly string[] = Object.values(typescriptKinds);
    expect(blocks.filter(({ kind }) => !kinds.includes(kind)).map(titleOf)).toEqual([]);
    expect(new Set(blocks.map(fileNameOf)).size).toBe(blocks.length);
  });

  test(
    "has right types",
    async () => {
      const { status, output } = await run([join(root, "node_modules/.bin/tsc"), "--noEmit", "-p", "."]);
      // Of the packages' own types their own check tells.
      const own = output.split("\n").filter((line) => /^[\w-]+(\.test)?\.ts\(/.test(line));
      expect(own).toEqual([]);
      expect(status === 0 || output.includes("error TS")).toBe(true);
    },
    slowest,
  );

  for (const block of blocks) {
    const file = (): string => join(folder, fileNameOf(block));
    if (block.kind === typescriptKinds.program) {
      test(
        `${titleOf(block)} runs`,
        async () => expect(await run([process.execPath, file()])).toEqual(ok),
        slowest,
      );
    } else if (block.kind === typescriptKinds.test) {
      test(
        `${titleOf(block)} passes`,
        async () => expect(await run([process.execPath, "test", file()])).toEqual(ok),
        slowest,
      );
    } else if (block.kind === typescriptKinds.config) {
      test(`${titleOf(block)} is a config`, async () => {
        expect(Object.keys(await readConfig(file()))).not.toEqual([]);
      });
    }
  }
});
