/**
 * Packs what tests and benchmarks need on a machine with a GPU and no network: sources, the addon, Bun,
 * fixtures, and the Rust tests of devices. There: `tar xf wan-ts-gpu.tar.xz && wan-ts-gpu/run`.
 *
 * Usage: bun scripts/pack-gpu-tests.ts [--output FILE] [--with-emulator] [--with-diffusers]
 *
 * --output           by default wan-ts-gpu.tar.xz
 * --with-emulator    the emulated driver too, for `run test --emulator`
 * --with-diffusers   the models of the diffusers that $WAN_PEER_PYTHON has, else python3, for
 *                    `run bench --peers` where Python has torch and transformers alone
 */
import { appendFile, mkdtemp, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildDeviceTests, buildEmulator } from "./cargo-artifacts.ts";
import { allFilesBelow, stageGpuArchive } from "./gpu-archive.ts";
import { builtFiles } from "./gpu-files.ts";

/** What can be carried to where such machines are. */
const mostBytes = 60 * 2 ** 20;
const name = "wan-ts-gpu";
/** Bytes of a block of a tar archive. */
const tarBlock = 512;

const { values } = parseArgs({
  options: {
    output: { type: "string", default: `${name}.tar.xz` },
    "with-emulator": { type: "boolean", default: false },
    "with-diffusers": { type: "boolean", default: false },
  },
});
const root = dirname(import.meta.dir);
const output = resolve(values.output);

if (!Bun.which("xz")) {
  process.stderr.write("pack:gpu needs xz to compress: install xz-utils\n");
  process.exit(2);
}
const folder = await mkdtemp(join(tmpdir(), "wan-ts-gpu-"));
try {
  const stripped = join(folder, "devices");
  await run(["cp", await buildDeviceTests(root), stripped]);
  await run(["strip", stripped]);
  const emulator = values["with-emulator"] ? await buildEmulator(root) : undefined;
  const diffusers = values["with-diffusers"] ? await findDiffusers() : undefined;
  const built = { bun: process.execPath, deviceTests: stripped, emulator, diffusers };
  await stageGpuArchive(root, join(folder, name), built);
  await compress(folder, output);
} finally {
  await rm(folder, { recursive: true, force: true });
}
const { size } = await stat(output);
process.stdout.write(`${output}: ${(size / 2 ** 20).toFixed(1)} MiB\n`);
if (size > mostBytes) {
  process.stderr.write(`that is more than ${mostBytes / 2 ** 20} MiB\n`);
  process.exitCode = 1;
}

/** The folder of Python's diffusers; ends with one line where there is none. */
async function findDiffusers(): Promise<string> {
  const python = process.env.WAN_PEER_PYTHON ?? "python3";
  const code = "import importlib.util as u; print(u.find_spec('diffusers').submodule_search_locations[0])";
  const child = Bun.spawn([python, "-c", code], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const found = (await child.stdout.text()).trim();
  if ((await child.exited) === 0) return found;
  process.stderr.write(
    `pack:gpu --with-diffusers: ${python} has no diffusers; WAN_PEER_PYTHON names another\n`,
  );
  process.exit(2);
}

/**
 * Writes the staged folder as one archive of two streams, each compressed for what it has: programs and
 * sources, then weights, whose bytes repeat by fours.
 */
async function compress(parent: string, archive: string): Promise<void> {
  // The addon and the Rust tests have much in common: beside each other, and far from large files, it is
  // stored once.
  const first = [`${name}/crates`, `${name}/${builtFiles.deviceTests}`].flatMap((path) =>
    allFilesBelow(parent, path),
  );
  const last = `${name}/${builtFiles.bun}`;
  const rest = allFilesBelow(parent, name).filter((file) => file !== last && !first.includes(file));
  const isWeight = (file: string): boolean => file.endsWith(".safetensors");
  const streams = [
    // Where code jumps to repeats once it is told from the start of the file.
    {
      files: [...first, ...rest.filter((file) => !isWeight(file)), last],
      options: ["--x86", "--lzma2=preset=9e"],
    },
    { files: rest.filter(isWeight), options: ["--lzma2=preset=9e,lc=2,lp=2,pb=2"] },
  ];
  const parts: string[] = [];
  for (const [index, { files, options }] of streams.entries()) {
    const part = join(parent, `part-${index}.tar`);
    await run(["tar", "--blocking-factor=1", "-cf", part, "-C", parent, ...(await listed(parent, files))]);
    // Two empty blocks end an archive, which goes on here.
    if (index < streams.length - 1) await truncate(part, (await stat(part)).size - 2 * tarBlock);
    await run(["xz", "--threads=1", ...options, part]);
    parts.push(`${part}.xz`);
  }
  await rm(archive, { force: true });
  for (const part of parts) await appendFile(archive, await Bun.file(part).bytes());
}

/** Arguments that have tar take these files, in this order. */
async function listed(parent: string, files: readonly string[]): Promise<string[]> {
  const list = join(parent, "files");
  await Bun.write(list, files.join("\n"));
  return ["--files-from", list];
}

async function run(line: readonly string[]): Promise<void> {
  const child = Bun.spawn([...line], { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  const status = await child.exited;
  if (status !== 0) throw new Error(`${line.join(" ")} ended with status ${status}`);
}
