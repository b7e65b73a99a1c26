/**
 * Packs what tests and benchmarks need on a machine with a GPU and no network: sources, the addon, Bun,
 * fixtures, and the Rust tests of devices. There: `tar xf wan-ts-gpu.tar.xz && wan-ts-gpu/run`.
 *
 * Usage: bun scripts/pack-gpu-tests.ts [--output FILE] [--with-emulator]
 *
 * --output          by default wan-ts-gpu.tar.xz
 * --with-emulator   the emulated driver too, for `run test --emulator`
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildDeviceTests, buildEmulator } from "./cargo-artifacts.ts";
import { allFilesBelow, stageGpuArchive } from "./gpu-archive.ts";
import { builtFiles } from "./gpu-files.ts";

/** What can be carried to where such machines are. */
const mostBytes = 60 * 2 ** 20;
const name = "wan-ts-gpu";

const { values } = parseArgs({
  options: {
    output: { type: "string", default: `${name}.tar.xz` },
    "with-emulator": { type: "boolean", default: false },
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
  await stageGpuArchive(root, join(folder, name), { bun: process.execPath, deviceTests: stripped, emulator });
  // The addon and the Rust tests have much in common: beside each other, and far from large files, it is
  // stored once. What code of x86 jumps to repeats where it is told from the start of the file.
  const first = [`${name}/crates`, `${name}/${builtFiles.deviceTests}`];
  const last = [`${name}/${builtFiles.bun}`];
  const isPlaced = (file: string): boolean =>
    [...first, ...last].some((other) => file === other || file.startsWith(`${other}/`));
  const between = allFilesBelow(folder, name).filter((file) => !isPlaced(file));
  const listed = join(folder, "files");
  await Bun.write(listed, [...first, ...between, ...last].join("\n"));
  const compress = "xz --x86 --lzma2=preset=9e --threads=1";
  await run([
    "tar",
    `--use-compress-program=${compress}`,
    "-cf",
    output,
    "-C",
    folder,
    "--files-from",
    listed,
  ]);
} finally {
  await rm(folder, { recursive: true, force: true });
}
const { size } = await stat(output);
process.stdout.write(`${output}: ${(size / 2 ** 20).toFixed(1)} MiB\n`);
if (size > mostBytes) {
  process.stderr.write(`that is more than ${mostBytes / 2 ** 20} MiB\n`);
  process.exitCode = 1;
}

async function run(line: readonly string[]): Promise<void> {
  const child = Bun.spawn([...line], { stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  const status = await child.exited;
  if (status !== 0) throw new Error(`${line.join(" ")} ended with status ${status}`);
}
