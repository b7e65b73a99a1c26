import { RankEnvironmentError } from "@wan-ts/distributed";
import { InputError } from "../input-error.ts";
import { messageLine, reportFailure } from "../report-failure.ts";
import { AgreedRefusal } from "./agreed-refusal.ts";
import { RunRanks } from "./run-ranks.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Runs `body` as one of the ranks of a run, where this process was started as one; otherwise returns
 * undefined without having run it. A failure is told to the other ranks and to the launcher of
 * `--nproc`, which makes one line of it. Without that launcher rank 0 writes the line, and so does a
 * rank that failed by itself.
 *
 * @returns the exit status.
 * @throws {InputError} where the environment contradicts itself about which rank this is.
 * @throws {CollectiveError} where the ranks don't come together.
 */
export async function runAsRank(
  env: Environment,
  body: (ranks: RunRanks) => Promise<void>,
): Promise<number | undefined> {
  const ranks = join(env);
  if (!ranks) return undefined;
  try {
    await body(ranks);
    ranks.ranks?.finish();
    return 0;
  } catch (error) {
    if (ranks.hasLauncher) {
      ranks.ranks?.fail(messageLine(error));
      return 1;
    }
    if (error instanceof AgreedRefusal) {
      // All know of it, so each can leave in good order.
      ranks.ranks?.finish();
      return ranks.isFirst ? reportFailure(error, process.stderr) : 2;
    }
    const isOwn = ranks.ranks?.failure() === undefined;
    const status = isOwn || ranks.isFirst ? reportFailure(error, process.stderr) : 1;
    ranks.ranks?.fail(messageLine(error));
    return status;
  }
}

function join(env: Environment): RunRanks | undefined {
  try {
    return RunRanks.join(env);
  } catch (error) {
    throw error instanceof RankEnvironmentError ? new InputError(error.message, { cause: error }) : error;
  }
}
