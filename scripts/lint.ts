/**
 * Checks format, lints and types of TypeScript and Rust; ends with status 1 where anything is amiss.
 *
 * Usage: bun scripts/lint.ts
 */
import { dirname, join } from "node:path";

const root = dirname(import.meta.dir);
const tool = (name: string): string => join(root, "node_modules", ".bin", name);

const checks: readonly (readonly [what: string, line: readonly string[]])[] = [
  ["format and lints of TypeScript", [tool("biome"), "check", "--error-on-warnings", "."]],
  ["lints that need types", [tool("oxlint"), "--type-aware", "--deny-warnings"]],
  ["types of scripts", [tool("tsc"), "--noEmit", "-p", "tsconfig.json"]],
  ["types of packages", [tool("turbo"), "run", "typecheck", "--concurrency=2", "--output-logs=errors-only"]],
  ["format of Rust", ["cargo", "fmt", "--all", "--check"]],
  [
    "lints of Rust",
    [
      "cargo",
      "clippy",
      "--workspace",
      "--exclude",
      "binding",
      "--all-targets",
      "--quiet",
      "--",
      "-D",
      "warnings",
    ],
  ],
  // The addon has no tests of its own: without an engine, nothing would call what it exports.
  ["lints of the addon", ["cargo", "clippy", "--package", "binding", "--quiet", "--", "-D", "warnings"]],
];

const failed: string[] = [];
for (const [what, line] of checks) {
  process.stdout.write(`${what}\n`);
  const child = Bun.spawn([...line], { cwd: root, env: process.env, stdout: "inherit", stderr: "inherit" });
  if ((await child.exited) !== 0) failed.push(what);
}
if (failed.length > 0) {
  process.stderr.write(`not right: ${failed.join(", ")}\n`);
  process.exit(1);
}
