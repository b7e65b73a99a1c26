import { expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type AppRun, appMain, TemporaryFolder } from "../app/run-app.ts";
import { isMarked, type Sabotage } from "./sabotage.ts";

/** A short run in which every stage exchanges something, also within a block. */
const args = ["--frames", "5", "--steps", "3", "--quiet"] as const;
/** Seconds of silence after which a rank counts as stopped, for tests that stop one. */
const stoppedAfter = 2;
/** How long a test waits for what must come. */
const patienceSeconds = 60;

/** How {@link FaultyRun} starts the app. */
export interface FaultyRunOptions {
  readonly nproc?: number;
  /** What to do to a rank. */
  readonly sabotage?: Omit<Sabotage, "marks">;
  readonly args?: readonly string[];
  /** A command that runs the rest of its command line. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The app over ranks, in a folder that has nothing else, with its own place for temporary files. */
export class FaultyRun implements AsyncDisposable {
  readonly folder = new TemporaryFolder();
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #nproc: number;
  readonly #ended: Promise<AppRun>;

  constructor({ nproc = 2, sabotage, args: more = [], command = [], env = {} }: FaultyRunOptions) {
    this.#nproc = nproc;
    for (const name of ["marks", "tmp", "work"]) mkdirSync(this.folder.file(name));
    const plan = JSON.stringify({
      rank: -1,
      moment: "loading",
      fault: "exit",
      ...sabotage,
      marks: this.marks,
    });
    const module = JSON.stringify(join(import.meta.dir, "sabotage.ts"));
    const config = `import { sabotage } from ${module};\nawait sabotage(${plan});\nexport default {};\n`;
    writeFileSync(this.folder.file("config.ts"), config);
    const line = [
      appMain,
      ...args,
      "--nproc",
      `${nproc}`,
      "--ulysses",
      `${nproc}`,
      "--config",
      "../config.ts",
    ];
    this.child = Bun.spawn([...command, process.execPath, ...line, ...more], {
      cwd: this.folder.file("work"),
      env: {
        ...process.env,
        ...env,
        TMPDIR: this.folder.file("tmp"),
        WAN_RANK_STOPPED_AFTER: `${stoppedAfter}`,
      },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#ended = this.#wait();
  }

  get marks(): string {
    return this.folder.file("marks");
  }

  /** What the working directory has. */
  get written(): string[] {
    return readdirSync(this.folder.file("work"));
  }

  /** The processes of the ranks that have begun. */
  get pids(): number[] {
    const names = readdirSync(this.marks).filter((name) => name.startsWith("pid-"));
    return names.toSorted().map((name) => Number(readFileSync(join(this.marks, name), "utf8")));
  }

  /** Waits until ranks have left these marks. */
  async marked(...names: readonly string[]): Promise<void> {
    await until(`${names.join(", ")}`, () => names.every((name) => isMarked(this.marks, name)));
  }

  /** What the run ended with. */
  ended(): Promise<AppRun> {
    return this.#ended;
  }

  /**
   * Waits for the end, and expects a failure that is told in one line about `rank`, with every one of
   * `told`; and that no process, no output and no temporary file is left.
   */
  async expectFailure(rank: number, told: readonly (string | RegExp)[]): Promise<void> {
    const { status, stdout, stderr } = await this.#ended;
    expect(stderr).toMatch(/^error: [^\n]+\n$/);
    expect(stderr).toStartWith(`error: rank ${rank} (pid ${this.pids[rank]}) `);
    for (const part of told) expect(stderr).toMatch(part);
    expect(stdout).toBe("");
    expect(status).toBe(1);
    this.expectNothingLeft();
  }

  /** Expects that no rank lives, and that nothing was written. */
  expectNothingLeft(): void {
    expect(this.pids).toHaveLength(this.#nproc);
    expect(this.pids.filter(isAlive)).toEqual([]);
    expect(this.written).toEqual([]);
    expect(readdirSync(this.folder.file("tmp"))).toEqual([]);
    if (process.platform === "linux") {
      expect(readdirSync("/dev/shm").filter((name) => name.includes("wan"))).toEqual([]);
    }
  }

  async #wait(): Promise<AppRun> {
    const [stdout, stderr] = await Promise.all([
      new Response(this.child.stdout).text(),
      new Response(this.child.stderr).text(),
      this.child.exited,
    ]);
    return { status: this.child.exitCode, stdout, stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#ended;
    this.folder[Symbol.dispose]();
  }
}

/** Whether a process is there, one that has ended and that nobody asked for apart. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== "linux") return true;
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits for something that must come, and says what didn't. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + patienceSeconds * 1000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`${what} didn't come within ${patienceSeconds} s`);
    await Bun.sleep(10);
  }
}
