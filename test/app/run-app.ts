import { expect } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The app's entry point. */
export const appMain = join(import.meta.dir, "../../apps/wan/src/main.ts");
/** The checkpoint that the app comes with. */
export const embeddedModel = join(import.meta.dir, "../../models/wan-tiny");
/** Flags of the shortest run that goes through every stage. */
export const shortRun = ["--frames", "5", "--steps", "1", "--quiet"] as const;

/**
 * A machine without a GPU, as far as the app can see: what the tests expect is what the processor gives.
 * A test of devices names its own driver.
 */
const withoutGpu = { WAN_CUDA_DRIVER: join(import.meta.dir, "no-driver") } as const;

/** What a run of the app ended with. */
export interface AppRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How {@link runApp} starts the app. */
export interface RunOptions {
  /** A command that runs the rest of its command line. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The entry point, in place of the app's. */
  readonly main?: string;
  /** Milliseconds after which it is told to end; by default it takes its time. */
  readonly timeout?: number;
}

/** Runs the app as a process of its own, and waits for it. */
export async function runApp(
  folder: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<AppRun> {
  const child = Bun.spawn([...(options.command ?? []), process.execPath, options.main ?? appMain, ...args], {
    cwd: folder,
    env: { ...process.env, ...withoutGpu, ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status: child.exitCode, stdout, stderr };
}

/** A folder that goes away with the scope. */
export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "wan-app-"));

  /** A path in it. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** The names of everything in it. */
  get names(): string[] {
    return readdirSync(this.path, { recursive: true }).map(String).toSorted();
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * Runs the app in an otherwise empty folder, and expects that it fails with `status` and one line
 * that has every one of `told`, leaving nothing behind.
 */
export async function expectFailure(
  status: 1 | 2,
  args: readonly string[],
  told: readonly (string | RegExp)[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  using folder = new TemporaryFolder();
  const run = await runApp(folder.path, [...args, "--quiet"], { env });
  expectOneLine(run, status, told);
  expect(folder.names).toEqual([]);
}

/** Expects one line on standard error that has every one of `told`, and nothing on standard output. */
export function expectOneLine(run: AppRun, status: 1 | 2, told: readonly (string | RegExp)[]): void {
  expect(run.stderr).toMatch(/^error: [^\n]+\n$/);
  for (const part of told) expect(run.stderr).toMatch(part);
  expect(run.stdout).toBe("");
  expect(run.status).toBe(status);
}
