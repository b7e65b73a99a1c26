/**
 * A rank of the tests of several hosts.
 *
 * Usage: bun rank-program.ts digest|cut
 */
import { joinRanks, type Ranks } from "@wan-ts/distributed";
import { Tensor } from "@wan-ts/tensor";

/** Every rank's own numbers, of very different sizes, so that another order of addition has other bits. */
function numbers(rank: number, count: number): number[] {
  return Array.from(
    { length: count },
    (_, index) =>
      (index % 3 === rank % 2 ? -1 : 1) * (1 + index * 0.37 + rank) * 10 ** ((rank * 5 + index) % 9),
  );
}

/** Prints a hash of what all ranks have after collectives of all shapes, from rank 0. */
async function digest({ world, rank, size }: Ranks): Promise<void> {
  const hash = new Bun.CryptoHasher("sha256");
  const take = async (tensor: Tensor): Promise<void> => {
    using whole = world.allGather(tensor);
    hash.update(await whole.rawBytes());
  };
  // Larger than a message, and than what goes ahead of its receiver.
  for (const count of [0, 1, 1000, 3_000_000]) {
    using own = Tensor.from(numbers(rank, count * size), [count * size]);
    using sum = world.allReduce(own);
    using part = world.reduceScatter(own);
    await take(sum);
    await take(part);
  }
  // 13 tokens and 5 heads on any number of ranks, there and back.
  const shares = (total: number): number[] =>
    Array.from({ length: size }, (_, index) => Math.floor(total / size) + (index < total % size ? 1 : 0));
  const [tokens, heads] = [shares(13), shares(5)];
  const shape = [2, tokens[rank] ?? 0, 5, 64];
  using query = Tensor.from(
    numbers(
      rank,
      shape.reduce((product, extent) => product * extent, 1),
    ),
    shape,
  );
  const [split] = world.reshard([query, query], {
    gather: { dim: 1, sizes: tokens },
    split: { dim: 2, sizes: heads },
  }) as [Tensor, Tensor];
  const [back] = world.reshard([split], {
    gather: { dim: 2, sizes: heads },
    split: { dim: 1, sizes: tokens },
  }) as [Tensor];
  if (Buffer.compare(await back.rawBytes(), await query.rawBytes()) !== 0)
    throw new Error("not the same back");
  using whole = world.allGather(split, { dim: 2, sizes: heads });
  hash.update(await whole.rawBytes());
  if (rank === 0) process.stdout.write(`digest ${hash.digest("hex")}\n`);
}

/** Rank 1 takes its host's network down; the others wait for it. */
async function cut({ world, rank, note }: Ranks): Promise<void> {
  note("step 3");
  await world.barrier();
  if (rank === 1) {
    // Others hear several times a second where it is.
    await Bun.sleep(300);
    Bun.spawnSync(["ip", "link", "set", "wan0", "down"]);
  }
  await world.barrier();
}

const scenarios: Readonly<Record<string, (ranks: Ranks) => Promise<void>>> = { digest, cut };
const ranks = joinRanks({ stoppedAfter: 1.5, deadline: 60 });
const scenario = scenarios[process.argv[2] ?? ""];
if (!ranks || !scenario) throw new Error("started without ranks or scenario");
await scenario(ranks);
ranks.finish();
