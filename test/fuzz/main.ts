/**
 * Feeds mutated files to the readers of what strangers write. Each target runs in a process of its own, so that
 * a crash, a hang or memory without end is told like any other failure.
 *
 * Usage: bun run fuzz [--only NAME,…] [--cases N] [--seed S] [--keep-going]
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readFuzzArguments } from "./arguments.ts";
import { fuzzInChild } from "./fuzz-in-child.ts";
import type { FuzzTarget } from "./fuzz-target.ts";
import { inputOf } from "./run-cases.ts";

/** Build outputs lie there, which git ignores. */
const folder = join(dirname(dirname(import.meta.dir)), "target", "fuzz");

const request = readFuzzArguments(process.argv.slice(2));
if (typeof request === "string") {
  process.stderr.write(`${request}\n`);
  process.exit(2);
}

let failures = 0;
for (const target of request.targets) failures += await fuzz(target, request);
process.exitCode = failures > 0 ? 1 : 0;

/** Runs a target's cases; returns how many failed. */
async function fuzz(
  target: FuzzTarget,
  { seed, cases, keepGoing }: { seed: number; cases: number; keepGoing: boolean },
): Promise<number> {
  const started = performance.now();
  const total = new Map<string, number>();
  let failed = 0;
  for (let next = seed; next < seed + cases; ) {
    const { tally, failure } = await fuzzInChild(target, { seed: next, cases: seed + cases - next });
    for (const [outcome, count] of tally) total.set(outcome, (total.get(outcome) ?? 0) + count);
    if (failure === undefined) break;
    failed += 1;
    await report(target, failure, seed + cases);
    if (!keepGoing) break;
    next = failure.seed + 1;
  }
  const outcomes = [...total]
    .toSorted(([, a], [, b]) => b - a)
    .map(([outcome, count]) => `${count} ${outcome}`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${target.name}: ${outcomes.join(", ")}; ${failed} failed; ${seconds} s\n`);
  return failed;
}

async function report(
  target: FuzzTarget,
  { seed, reason }: { seed: number; reason: string },
  end: number,
): Promise<void> {
  const input = await inputOf(target, seed);
  const file = join(folder, `${target.name}-${seed}.bin`);
  await mkdir(folder, { recursive: true });
  await Bun.write(file, input.bytes);
  const again = `bun run fuzz --only ${target.name}`;
  process.stdout.write(
    `${target.name}: seed ${seed} failed: ${reason}\n` +
      `  input:  ${file}, in place of ${input.place}\n` +
      `  again:  ${again} --seed ${seed} --cases 1\n` +
      (seed + 1 < end ? `  resume: ${again} --seed ${seed + 1} --cases ${end - seed - 1}\n` : ""),
  );
}
