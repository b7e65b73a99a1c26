import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildDeviceTests, buildEmulator } from "../../scripts/cargo-artifacts.ts";
import { allFilesBelow, stageGpuArchive } from "../../scripts/gpu-archive.ts";
import { builtFiles, builtPython } from "../../scripts/gpu-files.ts";

const root = join(import.meta.dir, "../..");
let folder = "";
let diffusers = "";

// Cargo may have to build both.
const longest = 900_000;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "wan-gpu-archive-"));
  diffusers = join(await mkdtemp(join(tmpdir(), "wan-gpu-python-")), "diffusers");
  await mkdir(join(diffusers, "pipelines"), { recursive: true });
  await Bun.write(join(diffusers, "__init__.py"), "");
  await Bun.write(join(diffusers, "pipelines/wan.py"), "");
  await Bun.write(join(diffusers, "__init__.pyc"), "");
  const built = {
    deviceTests: await buildDeviceTests(root),
    emulator: await buildEmulator(root, "test"),
    diffusers,
  };
  await stageGpuArchive(root, folder, { bun: process.execPath, ...built });
}, longest);
afterAll(async () => {
  for (const made of [folder, dirname(diffusers)]) await rm(made, { recursive: true, force: true });
});

/** Runs a command in the unpacked archive, with an environment that has nothing else. */
async function run(line: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child = Bun.spawn([...line], { cwd: folder, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, stdout, stderr };
}

test("an unpacked archive has no link that leads nowhere", () => {
  const isLink = (file: string): boolean => lstatSync(join(folder, file)).isSymbolicLink();
  const broken = allFilesBelow(folder, ".").filter((file) => isLink(file) && !existsSync(join(folder, file)));
  expect(broken).toEqual([]);
});

test("an archive takes of diffusers what its models need", () => {
  expect(allFilesBelow(join(folder, builtPython), ".")).toEqual(["diffusers/__init__.py"]);
});

test("an unpacked archive runs the parts of the tests that are named", async () => {
  const line = ["./run", "test", "--emulator", "--only", "operations", "--filter", "there_and_back"];
  const { status, stdout } = await run(line);
  expect(stdout).toEndWith("1 passed, 0 failed, 0 skipped\n");
  expect(status).toBe(0);
  const refused = await run(["./run", "test", "--only", "operation"]);
  expect(refused).toMatchObject({ status: 2, stdout: "" });
  const told = 'test:gpu: --only has "operation"; there are operations, models, sanitizer\n';
  expect(refused.stderr).toBe(told);
}, 60_000);

test("an unpacked archive runs tests, with nothing around it", async () => {
  const { status, stdout, stderr } = await run(["./run", "test", "--emulator", "--filter", "text-to-video"]);
  const [, passed, failed] = /^(\d+) passed, (\d+) failed, \d+ skipped\n$/m.exec(stdout) ?? [];
  expect({ failed, status, stdout, stderr }).toMatchObject({ failed: "0", status: 0 });
  // A transformer in two types, and four pipelines.
  expect(Number(passed)).toBeGreaterThanOrEqual(6);
}, 300_000);

test("an unpacked archive makes a video", async () => {
  const size = "--height 16 --width 16 --frames 1 --steps 1 --output out.png".split(" ");
  const line = [join(folder, builtFiles.bun), "apps/wan/src/main.ts", ...size, "--device", "cuda", "--quiet"];
  const env = { WAN_CUDA_DRIVER: join(folder, builtFiles.emulator) };
  expect(await run(line, env)).toMatchObject({ status: 0, stderr: "" });
  expect(existsSync(join(folder, "out.png"))).toBe(true);
}, 120_000);

test("an unpacked archive has the benchmarks, and says in one line that there is no device", async () => {
  const help = await run(["./run", "bench", "--help"]);
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout).toContain("--peers");
  const without = await run(["./run", "test"], { WAN_CUDA_DRIVER: join(folder, "no-driver") });
  expect(without).toMatchObject({ status: 2, stdout: "" });
  expect(without.stderr).toMatch(/^test:gpu needs a CUDA device: [^\n]*no-driver[^\n]*\n$/);
});
