/**
 * Runs everything that needs a CUDA device, on the first one (`CUDA_VISIBLE_DEVICES` chooses): operations
 * beside the processor's, the attention suite, models and pipelines against diffusers' answers, and the
 * attention kernels under compute-sanitizer. Needs no network. Ends with one line, `N passed, N failed,
 * N skipped`; with status 2 and one line where there is no device.
 *
 * Usage: bun scripts/test-gpu.ts [--only PART,…] [--filter TEXT] [--emulator]
 *
 * --only      of operations, models (with pipelines and the attention suite) and sanitizer, these in this order
 * --filter    only tests whose names have TEXT in them, and no sanitizer
 * --emulator  on the emulated device, and only what is quick there: to try this script without a GPU
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { buildDeviceTests, buildEmulator } from "./cargo-artifacts.ts";
import {
  addCounts,
  type Counts,
  countCargo,
  countJunit,
  failuresOfCargo,
  failuresOfJunit,
  none,
} from "./count-tests.ts";
import { builtFiles } from "./gpu-files.ts";
import { runShown } from "./run-shown.ts";
import { sanitizeAttention } from "./sanitizer.ts";

const root = dirname(import.meta.dir);
const folder = join(root, "test", "cuda");
const report = join(folder, "test-results", "gpu.xml");
/** What there is to run, by the names that `--only` takes. */
const parts = ["operations", "models", "sanitizer"] as const;
type Part = (typeof parts)[number];

const { only, filter, emulator } = readArguments();

/** Ends the process with one line. */
function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

interface Arguments {
  readonly only: readonly Part[];
  readonly filter: string | undefined;
  readonly emulator: boolean;
}

function readArguments(): Arguments {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: "string" },
        filter: { type: "string" },
        emulator: { type: "boolean", default: false },
      },
    });
    const only = values.only
      ?.split(",")
      .map(
        (name) =>
          parts.find((part) => part === name) ??
          fail(`test:gpu: --only has ${JSON.stringify(name)}; there are ${parts.join(", ")}`),
      );
    return { only: only ?? parts, filter: values.filter, emulator: values.emulator };
  } catch (error) {
    fail(`test:gpu: ${(error as Error).message}`);
  }
}

/** A file of the archive, or in a checkout what builds it. */
async function builtOrPacked(packed: string, build: (root: string) => Promise<string>): Promise<string> {
  const file = join(root, packed);
  return existsSync(file) ? file : await build(root);
}

const env: Record<string, string | undefined> = {
  ...process.env,
  WAN_TEST_DEVICE: "cuda:0",
  WAN_TEST_CUDA: "driver",
  ...(emulator
    ? { WAN_CUDA_DRIVER: await builtOrPacked(builtFiles.emulator, buildEmulator), WAN_TEST_EXTENT: "short" }
    : {}),
};

/** What ended without telling what failed. */
const broken: string[] = [];
/** Each test that failed, as its runner names it. */
const failures: string[] = [];

async function describeDevice(): Promise<string> {
  const child = Bun.spawn([process.execPath, join(root, "scripts/open-device.ts"), "cuda:0"], {
    cwd: root,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 300_000,
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const status = await child.exited;
  if (status !== 0) fail(`test:gpu needs a CUDA device: ${errors.trim()}`);
  return output.trim();
}

async function testOperations(executable: string): Promise<Counts> {
  const line = [executable, ...(filter === undefined ? [] : [filter])];
  const { status, output } = await runShown(line, { cwd: root, env, timeout: 1_800_000 });
  const counts = countCargo(output);
  failures.push(...failuresOfCargo(output));
  if (status !== 0 && counts.failed === 0) broken.push(`${executable} ended with status ${status}`);
  return counts;
}

async function testPackages(): Promise<Counts> {
  // What an earlier run left would be counted where this one ends without a report.
  rmSync(report, { force: true });
  mkdirSync(dirname(report), { recursive: true });
  const line = [
    process.execPath,
    "test",
    "--timeout=600000",
    "--reporter=junit",
    `--reporter-outfile=${report}`,
  ];
  const named = filter === undefined ? [] : ["--test-name-pattern", filter];
  const { status } = await runShown([...line, ...named], { cwd: folder, env, timeout: 3_600_000 });
  const written = existsSync(report) ? readFileSync(report, "utf8") : "";
  const counts = countJunit(written);
  failures.push(...failuresOfJunit(written));
  if (counts === undefined) broken.push("the tests of test/cuda ended without a report");
  else if (status !== 0 && counts.failed === 0) broken.push(`bun test ended with status ${status}`);
  return counts ?? none;
}

process.stdout.write(`${await describeDevice()}\n`);
const executable = await builtOrPacked(builtFiles.deviceTests, buildDeviceTests);
const run: Readonly<Record<Part, () => Promise<Counts>>> = {
  operations: () => testOperations(executable),
  models: testPackages,
  sanitizer: async () => {
    if (filter !== undefined) return none;
    const sanitized = await sanitizeAttention(executable, { cwd: root, env });
    failures.push(...sanitized.failures);
    return sanitized.counts;
  },
};
let total = none;
for (const part of only) total = addCounts(total, await run[part]());
for (const failure of failures) process.stderr.write(`failed: ${failure}\n`);
for (const problem of broken) process.stderr.write(`${problem}; see above\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = broken.length > 0 || total.failed > 0 ? 1 : 0;
