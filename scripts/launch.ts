/**
 * The front door of `bun run app|bench|fuzz|lint|test|test:gpu|pack:gpu`: brings a fresh clone to where the
 * command can run, then runs it. Uses nothing but Bun itself, as packages may not be installed yet.
 *
 * Usage: bun scripts/launch.ts app|bench|fuzz|lint|test|test:gpu|pack:gpu [arguments…]
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

const root = dirname(import.meta.dir);
const [command, ...rest] = process.argv.slice(2);

// Tasks started from here call `bun`; where Bun came by npx, only its own folder knows it.
const environment = {
  ...process.env,
  PATH: [join(root, "node_modules", ".bin"), dirname(process.execPath), process.env.PATH].join(delimiter),
  TURBO_TELEMETRY_DISABLED: "1",
};

/** Ends the process with one line. */
function fail(message: string, status: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(status);
}

/** Runs a step quietly; its output is shown only where it fails. */
async function prepare(what: string, line: readonly string[]): Promise<void> {
  const child = Bun.spawn([...line], { cwd: root, env: environment, stdout: "pipe", stderr: "pipe" });
  const notice = setTimeout(
    () => process.stderr.write(`${what} (the first time takes a few minutes)…\n`),
    1500,
  );
  const [output, errors, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(notice);
  if (status !== 0) fail(`${output}${errors}\n${what} failed: ${line.join(" ")}`, 1);
}

async function install(): Promise<void> {
  const stamp = join(root, "node_modules", ".wan-installed");
  const lock = Bun.hash(readFileSync(join(root, "bun.lock"))).toString(16);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  await prepare("Installing packages", [process.execPath, "install", "--frozen-lockfile"]);
  writeFileSync(stamp, lock);
}

async function build(): Promise<void> {
  if (!Bun.which("cargo", { PATH: environment.PATH })) {
    fail("cargo is not installed, and the native addon is built with it: see https://rustup.rs", 1);
  }
  await prepare("Building the native addon", [
    join(root, "node_modules", ".bin", "turbo"),
    "run",
    "build",
    "--output-logs=errors-only",
  ]);
}

const targets: Record<string, string> = {
  app: "apps/wan/src/main.ts",
  bench: "apps/wan/src/bench/main.ts",
  fuzz: "test/fuzz/main.ts",
  lint: "scripts/lint.ts",
  test: "scripts/test.ts",
  "test:gpu": "scripts/test-gpu.ts",
  "pack:gpu": "scripts/pack-gpu-tests.ts",
};

const target = command === undefined ? undefined : targets[command];
if (!target) fail(`usage: bun scripts/launch.ts ${Object.keys(targets).join("|")} [arguments…]`, 2);

await install();
await build();
const child = Bun.spawn([process.execPath, join(root, target), ...rest], {
  // The app ends with this process, which ends with `bun run`: killed outright, neither takes anything along.
  env: { ...environment, ...(command === "app" ? { WAN_APP_PARENT: `${process.pid}` } : {}) },
  stdin: "inherit",
  stdout: "inherit",
  stderr: "inherit",
});
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1);
}, 200).unref();
// A terminal sends its interrupt to the child too, which would take a second one for "at once".
const interruptedTogether = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
process.on("SIGINT", () => {
  if (!interruptedTogether) child.kill("SIGINT");
});
process.on("SIGTERM", () => child.kill("SIGTERM"));
process.exit(await child.exited);
