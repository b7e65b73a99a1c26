/**
 * Runs every test: the Rust crates' by cargo, the packages' by turbo and `bun test`. Ends with one
 * line, `N passed, N failed, N skipped`, counted from the runners' reports.
 *
 * Usage: bun scripts/test.ts [name of a package…]   (without names: everything)
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dir);
const filters = process.argv.slice(2);

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Counts of a `bun test` JUnit report. */
function countJunit(report: string): Counts {
  const suites = report.match(/<testsuites [^>]*>/)?.[0] ?? "";
  const number = (name: string): number => Number(suites.match(new RegExp(`\\b${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = number("failures") + number("errors");
  const skipped = number("skipped");
  return { passed: number("tests") - failed - skipped, failed, skipped };
}

/** Counts of `cargo test`'s closing lines. */
function countCargo(output: string): Counts {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.skipped += Number(ignored);
  }
  return counts;
}

/** Runs a command, showing its output as it comes; returns its status and standard output. */
async function run(line: readonly string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn([...line], { cwd: root, env: process.env, stdout: "pipe", stderr: "inherit" });
  let output = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    output += decoder.decode(chunk, { stream: true });
  }
  return { status: await child.exited, output };
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
let broken = false;

function add(counts: Counts): void {
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

if (filters.length === 0) {
  const rust = await run(["cargo", "test", "--workspace", "--exclude", "binding", "--no-fail-fast"]);
  const counts = countCargo(rust.output);
  add(counts);
  // A crate that doesn't compile ends without a count.
  if (rust.status !== 0 && counts.failed === 0) broken = true;
}

const workspaces = [
  ...new Bun.Glob("{packages,apps}/*/package.json").scanSync(root),
  "test/package.json",
].map((file) => ({
  folder: join(root, dirname(file)),
  name: (JSON.parse(readFileSync(join(root, file), "utf8")) as { name: string }).name,
}));
const chosen = workspaces.filter(
  ({ name }) => filters.length === 0 || filters.some((filter) => name.endsWith(`/${filter}`)),
);
if (chosen.length === 0) {
  process.stderr.write(`no package is named ${filters.join(", ")}\n`);
  process.exit(2);
}
const reportOf = (folder: string): string => join(folder, "test-results", "junit.xml");
const packages = await run([
  join(root, "node_modules", ".bin", "turbo"),
  "run",
  "test",
  "--continue=always",
  "--concurrency=1",
  "--output-logs=new-only",
  ...chosen.map(({ name }) => `--filter=${name}`),
]);
for (const { folder } of chosen) {
  if (existsSync(reportOf(folder))) add(countJunit(readFileSync(reportOf(folder), "utf8")));
  else broken = true;
}
if (packages.status !== 0 && total.failed === 0) broken = true;
rmSync(join(root, "test-results"), { recursive: true, force: true });

if (broken) process.stderr.write("a test run ended without a report; see above\n");
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(broken || total.failed > 0 ? 1 : 0);
