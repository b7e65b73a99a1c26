/**
 * A rank of the tests of faults below the app: runs the scenario that its command line names.
 *
 * Usage: bun test/faults/rank-program.ts scenario
 */
import { CollectiveError, joinRanks, type ProcessGroup } from "@wan-ts/distributed";
import { Tensor, TensorError } from "@wan-ts/tensor";

/** Each rank's call, of which the last rank's is another. */
const calls: Readonly<Record<string, (world: ProcessGroup, isLast: boolean) => Tensor>> = {
  shape: (world, isLast) => world.allReduce(Tensor.zeros(isLast ? [3, 2] : [2, 3])),
  dtype: (world, isLast) => world.allReduce(Tensor.zeros([4], isLast ? "bfloat16" : "float32")),
  operation: (world, isLast) =>
    isLast ? world.allGather(Tensor.zeros([4])) : world.allReduce(Tensor.zeros([4])),
  sizes: (world, isLast) =>
    world.allGather(Tensor.zeros([2]), {
      sizes: world.members.map((member) => (isLast && member === 0 ? 3 : 2)),
    }),
  order: (world, isLast) => {
    const gather = (): Tensor => world.allGather(Tensor.zeros([2]));
    const reduce = (): Tensor => world.allReduce(Tensor.zeros([2]));
    const [first, second] = isLast ? [reduce, gather] : [gather, reduce];
    first();
    return second();
  },
};

async function disagree(scenario: string): Promise<void> {
  const ranks = joinRanks({ deadline: 60, startDeadline: 60 });
  const call = calls[scenario];
  if (!ranks || !call) throw new Error(`there is no scenario ${scenario}, or this is no rank`);
  const error = await call(ranks.world, ranks.rank === ranks.size - 1)
    .data()
    .catch((thrown: unknown) => thrown);
  if (!TensorError.isInstance(error)) throw new Error(`expected a TensorError, got ${String(error)}`);
  const { code } = ranks.failure() ?? {};
  const moved = ranks
    .ledger()
    .reduce((sum, { bytesSent, bytesReceived }) => sum + bytesSent + bytesReceived, 0);
  process.stdout.write(`${JSON.stringify({ code, moved, message: error.message })}\n`);
  ranks.fail(error.message);
  process.exitCode = 1;
}

/** Tells why the ranks didn't come together. */
function meet(): void {
  try {
    joinRanks({ startDeadline: 1 });
  } catch (error) {
    if (!CollectiveError.isInstance(error)) throw error;
    process.stdout.write(`${JSON.stringify({ code: error.code, message: error.message })}\n`);
    process.exitCode = 1;
  }
}

const scenario = process.argv[2] ?? "";
if (scenario === "meet") meet();
else await disagree(scenario);
