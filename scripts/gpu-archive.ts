import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { builtFiles, builtPython } from "./gpu-files.ts";

/** Where the built files come from. */
export interface BuiltSources {
  /** The executable that runs all of it. */
  readonly bun: string;
  readonly deviceTests: string;
  /** Left out where there is none. */
  readonly emulator?: string | undefined;
  /** The folder of the Python package, likewise. */
  readonly diffusers?: string | undefined;
}

/** Folders and files that tests and benchmarks read, beside the sources of packages. */
const trees: readonly string[] = [
  "package.json",
  "tsconfig.base.json",
  "LICENSE",
  "models/wan-tiny",
  "packages/models/fixtures",
  "scripts",
  "test/cuda",
  "test/fixtures",
];
const singleFiles: readonly string[] = [
  "test/app/run-app.ts",
  "test/fixture-cases.ts",
  "test/generate-fixture.ts",
  "test/package.json",
];

/** What is of no use there: tests of the packages themselves, what needs a checkout, what is made by running. */
const leftOut: readonly RegExp[] = [
  /\.test\.ts$/,
  /^scripts\/(fixtures|.*\.py)/,
  /^test\/cuda\/on-emulator\.ts$/,
  /(^|\/)(node_modules|test-results|\.turbo|__pycache__)(\/|$)/,
];
/**
 * Of packages of others: what is for people and compilers, bundles of what is there as modules, and addons
 * for other machines than this one.
 */
const leftOutOfOthers = new RegExp(
  `\\.([cm]?ts|map|md)$|/dist/bundles/|(?<!\\.${process.platform}-${process.arch}-gnu)\\.node$`,
);
/** Of diffusers: what its models don't need. */
const leftOutOfDiffusers = /(^|\/)(modular_)?pipelines\/|(?<!\.py)$/;
const keptTests = /^test\/cuda\/(?!interpret|gpu-archive).*\.test\.ts$/;

/** The command that an unpacked archive is run by. */
const command = `#!/bin/sh
# Tests and benchmarks of wan-ts on this machine's GPU; needs nothing but its driver.
#
#   ./run test [--only PARTS] [--filter TEXT]    the tests
#   ./run bench [flags]                          the benchmarks, on the first CUDA device
#   ./run doctor                                 what was found
#   ./run                                        the tests, then the benchmarks
cd "$(dirname "$0")" || exit 2
bun="$PWD/${builtFiles.bun}"
python="$PWD/${builtPython}"
if [ -d "$python" ]; then export PYTHONPATH="$python\${PYTHONPATH:+:$PYTHONPATH}"; fi
test_gpu() { "$bun" scripts/test-gpu.ts "$@"; }
bench() { "$bun" apps/wan/src/bench/main.ts --device cuda "$@"; }
case "$1" in
  test) shift; test_gpu "$@" ;;
  bench) shift; bench "$@" ;;
  doctor) shift; "$bun" apps/wan/src/main.ts doctor "$@" ;;
  "") test_gpu; tested=$?; bench --json bench.json && exit $tested ;;
  *) echo "there is no $1: test, bench or doctor" >&2; exit 2 ;;
esac
`;

/**
 * Copies everything that GPU tests and benchmarks need into an empty folder, laid out as the repository is.
 */
export async function stageGpuArchive(root: string, folder: string, built: BuiltSources): Promise<void> {
  for (const file of archivedFiles(root)) await place(join(root, file), join(folder, file));
  await placeLinkedPackages(root, folder);
  if (built.diffusers !== undefined) await placeDiffusers(built.diffusers, folder);
  for (const [name, target] of Object.entries(builtFiles)) {
    const source = built[name as keyof typeof builtFiles];
    if (source === undefined) continue;
    await place(realpathSync(source), join(folder, target));
  }
  await writeFile(join(folder, "run"), command);
  await chmod(join(folder, "run"), 0o755);
}

/** The models of diffusers, as peers of benchmarks on machines that lack it. */
async function placeDiffusers(source: string, folder: string): Promise<void> {
  const parent = dirname(source);
  const files = allFilesBelow(parent, relative(parent, source));
  for (const file of files.filter((name) => !leftOutOfDiffusers.test(name))) {
    await place(join(parent, file), join(folder, builtPython, file));
  }
}

/** Files of the repository, as paths from its root. */
function archivedFiles(root: string): string[] {
  const sources = workspacePackages(root).flatMap((path) =>
    ["package.json", "src", "binding.cjs"].map((name) => join(path, name)),
  );
  const addon = readdirSync(join(root, "crates/binding"))
    .filter((name) => name.endsWith(".node"))
    .map((name) => join("crates/binding", name));
  const files = [...trees, ...sources.filter((path) => path !== "crates/binding/src")]
    .flatMap((path) => filesBelow(root, path))
    .filter((file) => keptTests.test(file) || !leftOut.some((pattern) => pattern.test(file)));
  return [...new Set([...files, ...singleFiles, ...addon])];
}

/** Paths of the packages that tests and benchmarks are made of. */
function workspacePackages(root: string): string[] {
  return [
    ...new Bun.Glob("{apps,packages}/*/package.json").scanSync(root),
    "crates/binding/package.json",
  ].map(dirname);
}

function filesBelow(root: string, path: string): string[] {
  const file = join(root, path);
  if (!existsSync(file)) return [];
  if (!lstatSync(file).isDirectory()) return [path];
  return readdirSync(file).flatMap((name) => {
    const inner = join(path, name);
    return leftOut.some((pattern) => pattern.test(inner)) && !keptTests.test(inner)
      ? []
      : filesBelow(root, inner);
  });
}

/** The `node_modules` of each package: links among packages as they are, packages of others with theirs. */
async function placeLinkedPackages(root: string, folder: string): Promise<void> {
  const owners = [...workspacePackages(root), "test", "test/cuda"];
  const waiting = owners.flatMap((owner) =>
    entriesOf(root, join(owner, "node_modules"), namesNeeded(root, owner)),
  );
  const placed = new Set<string>();
  for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
    if (placed.has(entry)) continue;
    placed.add(entry);
    const source = join(root, entry);
    if (!lstatSync(source).isSymbolicLink()) {
      const files = allFilesBelow(root, entry).filter((file) => !leftOutOfOthers.test(file));
      for (const file of files) await place(join(root, file), join(folder, file));
      continue;
    }
    await mkdir(dirname(join(folder, entry)), { recursive: true });
    await symlink(readlinkSync(source), join(folder, entry));
    const target = relative(root, realpathSync(source));
    // Of a package of others the whole room: itself, and links to what it needs.
    const room = /^(node_modules\/\.bun\/[^/]+\/node_modules)\//.exec(target)?.[1];
    if (room !== undefined) waiting.push(...entriesOf(root, room));
  }
}

/** What a package declares that it needs to run. */
function namesNeeded(root: string, owner: string): ReadonlySet<string> {
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, owner, "package.json"), "utf8")) as {
    readonly dependencies?: Readonly<Record<string, string>>;
  };
  return new Set(Object.keys(dependencies));
}

/** Packages in a `node_modules`, scoped ones included: all, or those of these names. */
function entriesOf(root: string, modules: string, names?: ReadonlySet<string>): string[] {
  if (!existsSync(join(root, modules))) return [];
  return readdirSync(join(root, modules))
    .filter((name) => !name.startsWith("."))
    .flatMap((name) =>
      name.startsWith("@")
        ? readdirSync(join(root, modules, name)).map((inner) => `${name}/${inner}`)
        : [name],
    )
    .filter((name) => names?.has(name) ?? true)
    .map((name) => join(modules, name));
}

/** Every file and link at or below `path`, a path from `root` as they are; links aren't followed. */
export function allFilesBelow(root: string, path: string): string[] {
  if (!lstatSync(join(root, path)).isDirectory()) return [path];
  return readdirSync(join(root, path)).flatMap((name) => allFilesBelow(root, join(path, name)));
}

async function place(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await copyFile(source, target);
}
