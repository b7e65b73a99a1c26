import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FuzzTarget } from "./fuzz-target.ts";
import type { CaseRange, Tally } from "./run-cases.ts";

/** A case that takes longer hangs. */
const longestCaseSeconds = 60;
const pollSeconds = 1;

/** How a child's cases ended. */
export interface ChildOutcome {
  /** Outcomes of the cases before the failure, where the child could still tell. */
  readonly tally: Tally;
  readonly failure: { readonly seed: number; readonly reason: string } | undefined;
}

/** What the child writes when it ends by itself. */
export interface ChildReport {
  readonly tally: readonly (readonly [string, number])[];
  readonly failure?: { readonly seed: number; readonly reason: string };
}

/** Runs cases in a process of their own, up to the first that fails, crashes, hangs or takes too much memory. */
export async function fuzzInChild(
  target: FuzzTarget,
  range: Pick<CaseRange, "seed" | "cases">,
): Promise<ChildOutcome> {
  const folder = await mkdtemp(join(tmpdir(), "wan-ts-fuzz-run-"));
  try {
    const [at, report] = [join(folder, "at"), join(folder, "report.json")];
    const script = join(import.meta.dir, "child.ts");
    const child = Bun.spawn(
      [process.execPath, script, target.name, `${range.seed}`, `${range.cases}`, at, report],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
        // What a child that crashes leaves goes with the folder.
        env: { ...process.env, TMPDIR: folder },
      },
    );
    let hung = false;
    let last = "";
    let since = performance.now();
    const watch = setInterval(() => {
      const now = seedAt(at);
      if (now !== last) [last, since] = [now, performance.now()];
      else if (performance.now() - since > longestCaseSeconds * 1000) {
        hung = true;
        child.kill("SIGKILL");
      }
    }, pollSeconds * 1000);
    const errors = await new Response(child.stderr).text();
    await child.exited;
    clearInterval(watch);
    const written = await readFile(report, "utf8").catch(() => undefined);
    if (written !== undefined) {
      const { tally, failure } = JSON.parse(written) as ChildReport;
      return { tally: new Map(tally), failure };
    }
    const seed = Number(seedAt(at));
    if (!Number.isInteger(seed) || seed < range.seed) {
      throw new Error(`the fuzzer's child didn't start: ${errors}`);
    }
    const how = hung
      ? `more than ${longestCaseSeconds} s`
      : `the process ended (${child.signalCode ?? `status ${child.exitCode}`}): ${errors.trim().slice(-2000)}`;
    return {
      tally: new Map([["cases that weren't counted", seed - range.seed]]),
      failure: { seed, reason: how },
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The seed that the child is at. */
function seedAt(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8").trim() : "";
}
