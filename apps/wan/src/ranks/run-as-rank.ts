import { sharedFileVariable } from "@wan-ts/distributed";
import { messageLine, reportFailure } from "../report-failure.ts";
import { RunRanks } from "./run-ranks.ts";

/** Whether this process was started by the launcher of `--nproc`, which then tells of failures. */
export function hasLauncher(env: Readonly<Record<string, string | undefined>>): boolean {
  return env[sharedFileVariable] !== undefined;
}

/**
 * Runs `body` as one of the ranks of a run, where this process was started as one; otherwise returns
 * undefined without having run it. A failure is told to the other ranks and to the launcher, which
 * makes one line of it. Without a launcher of ours rank 0 writes that line, and so does a rank that
 * failed by itself.
 *
 * @returns the exit status.
 */
export async function runAsRank(
  env: Readonly<Record<string, string | undefined>>,
  body: (ranks: RunRanks) => Promise<void>,
): Promise<number | undefined> {
  const ranks = RunRanks.join(env);
  if (!ranks) return undefined;
  try {
    await body(ranks);
    ranks.ranks?.finish();
    return 0;
  } catch (error) {
    ranks.ranks?.fail(messageLine(error));
    const isOwn = ranks.ranks?.failure() === undefined;
    return hasLauncher(env) || !(isOwn || ranks.isFirst) ? 1 : reportFailure(error, process.stderr);
  }
}
