/**
 * A rank of the benchmark of all-to-alls: heads for tokens, or a piece of the tokens for each rank, from
 * tensors in shared memory where the transport has it. Rank 0 prints what it took as a line of JSON.
 *
 * Usage: bun all-to-all-program.ts '{"exchange":"heads","tokens":21845,"heads":12,"headDim":128,"runs":20}'
 */
import { joinRanks } from "@wan-ts/distributed";
import { add, memory, setThreads, synchronize, Tensor } from "@wan-ts/tensor";
import { z } from "zod";
import { BenchmarkError } from "./case.ts";
import { statistics } from "./measure.ts";

const { exchange, tokens, heads, headDim, runs } = z
  .object({
    exchange: z.enum(["pieces", "heads"]),
    tokens: z.int(),
    heads: z.int(),
    headDim: z.int(),
    runs: z.int(),
  })
  .parse(JSON.parse(process.argv[2] ?? "{}"));

const ranks = joinRanks();
if (!ranks) throw new Error("this program is started by `bun run bench --only all-to-all`");
setThreads(1);
const { world, rank, size } = ranks;
const shared = <T>(body: () => T): T => ranks.inSharedMemory(body);
const even = (total: number): number[] => Array.from({ length: size }, () => total / size);
const shares = {
  gather: { dim: 1, sizes: even(tokens * size) },
  split: { dim: 2, sizes: even(heads) },
};
{
  using zeros = Tensor.zeros([1, tokens, heads, headDim], "bfloat16");
  const seconds: number[] = [];
  for (let run = 0; run < runs + warmUps(); run++) {
    // Other values in each run, so that what is left of the last one would show.
    const values = (of: number): number => (run % 16) * 8 + of;
    using source = shared(() => add(zeros, values(rank)));
    await synchronize();
    await world.barrier();
    const started = performance.now();
    const outputs = shared(() => exchanged(source));
    await synchronize();
    if (run >= warmUps()) seconds.push((performance.now() - started) / 1000);
    for (let from = 0; from < size; from++) await check(outputs[from]!, values(from));
    for (const output of outputs) output.dispose();
  }
  if (rank === 0) {
    process.stdout.write(`${JSON.stringify({ ...statistics(seconds), peakBytes: memory().peakBytes })}\n`);
  }
}
await synchronize();
ranks.finish();

/** Runs in which pages are touched for the first time. */
function warmUps(): number {
  return 3;
}

/** What came from each rank. */
function exchanged(source: Tensor): Tensor[] {
  const each = (tensor: Tensor, length: number): Tensor[] =>
    Array.from({ length: size }, (_, place) => tensor.slice(1, place * length, (place + 1) * length));
  if (exchange === "heads") {
    using gathered = world.reshard([source], shares)[0]!;
    return each(gathered, tokens);
  }
  const pieces = each(source, tokens / size);
  const came = world.allToAll(pieces);
  for (const piece of pieces) piece.dispose();
  return came;
}

/** The first and the last token that came from a rank are its own values. */
async function check(came: Tensor, expected: number): Promise<void> {
  for (const token of [0, came.size(1) - 1]) {
    using row = came.slice(1, token, token + 1);
    const found = await row.floats();
    const wrong = found.find((value) => value !== expected);
    if (wrong !== undefined) throw new BenchmarkError(wrong, expected, 0, `token ${token}`);
  }
}
