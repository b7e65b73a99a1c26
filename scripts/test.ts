/**
 * Runs every test: the Rust crates' by cargo, the packages' by turbo and `bun test`. Ends by naming what
 * failed and with one line, `N passed, N failed, N skipped`, counted from the runners' reports; a package whose files are
 * those of its last run keeps that run's report.
 *
 * Usage: bun scripts/test.ts [name of a package or crate…]   (without names: everything)
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  addCounts,
  type Counts,
  countCargo,
  countJunit,
  failuresOfCargo,
  failuresOfJunit,
  none,
} from "./count-tests.ts";
import { runShown } from "./run-shown.ts";

const root = dirname(import.meta.dir);

/** The addon's crate has no tests: it can't be linked without JavaScript. */
const untestedCrate = "binding";
const crates = [...new Bun.Glob("crates/*/Cargo.toml").scanSync(root)]
  .map((file) => basename(dirname(file)))
  .filter((name) => name !== untestedCrate);
const packages = [
  ...new Bun.Glob("{packages,apps}/*/package.json").scanSync(root),
  "test/package.json",
  "test/cuda/package.json",
  "test/cuda-ranks/package.json",
].map((file) => {
  const { name } = JSON.parse(readFileSync(join(root, file), "utf8")) as { name: string };
  return {
    name,
    shortName: basename(name),
    report: join(root, dirname(file), "test-results", "junit.xml"),
  };
});

const names = process.argv.slice(2);
const unknown = names.filter(
  (name) => !crates.includes(name) && !packages.some(({ shortName }) => shortName === name),
);
if (unknown.length > 0) {
  const known = [...crates, ...packages.map(({ shortName }) => shortName)].toSorted();
  process.stderr.write(`no package or crate is named ${unknown.join(", ")}; there are ${known.join(", ")}\n`);
  process.exit(2);
}

/** What ended without telling what failed: a crash, a compile error, an error outside of tests. */
const broken: string[] = [];

/** Each test that failed, as its runner names it: logs are long, and their ends are what is read. */
const failures: string[] = [];

async function testCrates(chosen: readonly string[]): Promise<Counts> {
  if (chosen.length === 0) return none;
  const selected = chosen.flatMap((name) => ["--package", name]);
  const { status, output } = await runShown(["cargo", "test", "--no-fail-fast", ...selected], { cwd: root });
  const counts = countCargo(output);
  failures.push(...failuresOfCargo(output));
  if (status !== 0 && counts.failed === 0) broken.push(`cargo test ended with status ${status}`);
  return counts;
}

/** Runs `bun test` in packages, or restores what it reported on the same files before. */
async function runPackages(chosen: typeof packages, options: readonly string[] = []): Promise<number | null> {
  for (const { report } of chosen) {
    // What an earlier run left would be counted where this one ends without a report.
    rmSync(report, { force: true });
    mkdirSync(dirname(report), { recursive: true });
  }
  const line = [
    join(root, "node_modules", ".bin", "turbo"),
    "run",
    "test",
    "--continue=always",
    "--concurrency=1",
    "--output-logs=new-only",
    ...options,
    ...chosen.map(({ name }) => `--filter=${name}`),
  ];
  const { status } = await runShown(line, { cwd: root });
  return status;
}

async function testPackages(chosen: typeof packages): Promise<Counts> {
  if (chosen.length === 0) return none;
  let status = await runPackages(chosen);
  const silent = chosen.filter(({ report }) => !existsSync(report));
  // A run by other means, that could write no report, may be what was restored.
  if (status === 0 && silent.length > 0) status = await runPackages(silent, ["--force"]);
  const before = broken.length;
  let total = none;
  for (const { name, report } of chosen) {
    const written = existsSync(report) ? readFileSync(report, "utf8") : "";
    const counts = countJunit(written);
    failures.push(...failuresOfJunit(written).map((failure) => `${name}: ${failure}`));
    if (counts === undefined) broken.push(`the tests of ${name} ended without a report`);
    else total = addCounts(total, counts);
  }
  if (status !== 0 && total.failed === 0 && broken.length === before) {
    broken.push(`turbo ended with status ${status} though no test failed`);
  }
  return total;
}

const chosenCrates = crates.filter((name) => names.length === 0 || names.includes(name));
const chosenPackages = packages.filter(({ shortName }) => names.length === 0 || names.includes(shortName));
const total = addCounts(await testCrates(chosenCrates), await testPackages(chosenPackages));
for (const failure of failures) process.stderr.write(`failed: ${failure}\n`);
for (const problem of broken) process.stderr.write(`${problem}; see above\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = broken.length > 0 || total.failed > 0 ? 1 : 0;
