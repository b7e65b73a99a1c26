import { LaunchError, launchRanks } from "@wan-ts/distributed";
import { removeTemporaries } from "@wan-ts/media";
import type { Job } from "../generate/job.ts";
import { outputPaths } from "../generate/outputs.ts";
import { RankLogs } from "./rank-logs.ts";

/** A rank that failed, and with it the run. */
export class RankFailedError extends Error {
  override readonly name = "RankFailedError";
  readonly code = "rankFailed";
}

/**
 * Runs a checked job on ranks of this machine: as many processes of this same command line, of which
 * rank 0 shows progress and writes what there is to write.
 *
 * @throws {RankFailedError} one line that names the rank, and where other ranks' lines are.
 * @throws the signal's reason once it aborts; the ranks are gone then.
 */
export async function launchRun(job: Job, signal: AbortSignal): Promise<void> {
  using logs = new RankLogs(job.logRanks ? process.stderr : undefined);
  const pids: number[] = [];
  try {
    await launchRanks({
      worldSize: job.parallel.ranks,
      command: [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
      onStart: (_, pid) => pids.push(pid),
      onLine: (rank, line) => logs.take(rank, line),
      signal,
    });
  } catch (error) {
    // Ranks that are killed clear nothing away: a line that is drawn over, and files half written.
    if (process.stderr.isTTY && !job.quiet) process.stderr.write("\r\x1b[2K");
    for (const path of job.outputs ? outputPaths(job.outputs) : []) {
      for (const pid of pids) await removeTemporaries(path, pid);
    }
    if (!(error instanceof LaunchError)) throw error;
    const folder = logs.keep();
    const told = folder === undefined ? "" : `; what ranks other than 0 wrote is in ${folder}`;
    throw new RankFailedError(`${error.message}${told}`, { cause: error });
  }
}
