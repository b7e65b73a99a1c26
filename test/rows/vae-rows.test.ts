import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import { type Generation, generations, peaksOf, smallVae, vaeOutcomes } from "./vae-cases.ts";

/** What a rank writes of one generation's VAE. */
interface Written {
  readonly outcomes: (readonly [name: string, digest: string])[];
  peaks: { readonly encode: number; readonly decode: number } | undefined;
  collectives: { readonly exchanges: number; readonly gathers: number } | undefined;
}

/** Lines of all ranks, by rank and generation. */
async function runRanks(worldSize: number): Promise<Map<Generation, Written>[]> {
  const lines: string[][] = Array.from({ length: worldSize }, () => []);
  await launchRanks({
    worldSize,
    command: [process.execPath, join(import.meta.dir, "rank.ts")],
    captureRank0: true,
    onLine: (rank, line) => lines[rank]?.push(line),
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${lines.flat().join("\n")}`);
  });
  return lines.map((own) => {
    const written = new Map(
      generations.map((generation): [Generation, Written] => [
        generation,
        { outcomes: [], peaks: undefined, collectives: undefined },
      ]),
    );
    for (const line of own) {
      const facts = JSON.parse(line);
      const of = written.get(facts.generation);
      if (facts.digest) of?.outcomes.push([facts.name, facts.digest]);
      if (facts.peaks) of!.peaks = facts.peaks;
      if ("exchanges" in facts) of!.collectives = { exchanges: facts.exchanges, gathers: facts.gathers };
      if (!of) expect(facts).toEqual({ liveStorages: 0 });
    }
    return written;
  });
}

const expected = new Map<Generation, { outcomes: Written["outcomes"]; peaks: Written["peaks"] }>();
beforeAll(async () => {
  for (const generation of generations) {
    using vae = smallVae(generation);
    const outcomes: [string, string][] = [];
    for await (const [name, digest] of vaeOutcomes(vae)) outcomes.push([name, digest]);
    expected.set(generation, { outcomes, peaks: peaksOf(vae) });
  }
});

/**
 * The most that a rank may hold, of what one process holds: its share of the features, a quarter more for the
 * rows next to them, and what stays whole: the pixels of a chunk, before they are patched and after.
 */
function largestShare(generation: Generation, worldSize: number): number {
  if (worldSize === 1) return 1;
  return 1.25 / worldSize + (generation === "Wan 2.2" ? 0.15 : 0);
}

describe.each([1, 2, 3, 4])("the VAE's rows over %p ranks", (worldSize) => {
  let ranks: Map<Generation, Written>[];
  beforeAll(async () => {
    ranks = await runRanks(worldSize);
  });

  for (const generation of generations) {
    test(`give the bytes of one process on every rank, split and after the undo (${generation})`, () => {
      const { outcomes } = expected.get(generation)!;
      const again = outcomes.slice(0, 4);
      for (const rank of ranks) expect(rank.get(generation)!.outcomes).toEqual([...outcomes, ...again]);
    });

    test(`hold fewer features on every rank (${generation})`, () => {
      const whole = expected.get(generation)!.peaks!;
      for (const rank of ranks) {
        const { encode, decode } = rank.get(generation)!.peaks!;
        const share = largestShare(generation, worldSize);
        expect(encode).toBeLessThanOrEqual(whole.encode * share);
        expect(decode).toBeLessThanOrEqual(whole.decode * share);
      }
    });

    test(`exchange with neighbours once for each convolution (${generation})`, () => {
      // The decoder's convolutions of 3 rows: its first and last, two in each residual block (2 in the
      // middle and 2 in each of 4 levels), and one behind each of 3 upsamplings.
      const convolutions = 2 + 2 * (2 + 2 * 4) + 3;
      for (const [rank, written] of ranks.entries()) {
        const neighbours = worldSize === 1 ? 0 : rank === 0 || rank === worldSize - 1 ? 1 : 2;
        expect(written.get(generation)!.collectives).toEqual({
          exchanges: convolutions * neighbours,
          gathers: worldSize === 1 ? 0 : 2, // Keys with values, and the frames.
        });
      }
    });
  }
});
