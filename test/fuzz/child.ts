/**
 * Runs cases of one target for {@link fuzzInChild}, which reads the seed that it is at and its report.
 *
 * Usage: bun child.ts TARGET SEED CASES FILE_OF_SEED FILE_OF_REPORT
 */
import { openSync, writeSync } from "node:fs";
import type { ChildReport } from "./fuzz-in-child.ts";
import { FuzzFailure, runCases } from "./run-cases.ts";
import { fuzzTargets } from "./targets/index.ts";

const [name, seed, cases, at, report] = process.argv.slice(2) as [string, string, string, string, string];
const target = fuzzTargets.find((candidate) => candidate.name === name);
if (target === undefined) throw new Error(`there is no target ${name}`);

const place = openSync(at, "w");
/** Wide enough that a shorter number covers a longer one. */
const seedWidth = 20;
const tally = new Map<string, number>();
let outcome: ChildReport;
try {
  await runCases(target, {
    seed: Number(seed),
    cases: Number(cases),
    tally,
    onCase: (current) => writeSync(place, String(current).padEnd(seedWidth), 0),
  });
  outcome = { tally: [...tally] };
} catch (error) {
  if (!(error instanceof FuzzFailure)) throw error;
  const { cause } = error;
  const reason = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
  outcome = { tally: [...tally], failure: { seed: error.seed, reason: reason.slice(0, 4000) } };
}
await Bun.write(report, JSON.stringify(outcome));
