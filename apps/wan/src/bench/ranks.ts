import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import { z } from "zod";
import type { Lengths } from "./blocks.ts";
import type { BenchDType, BenchmarkFamily, RanksCase } from "./case.ts";

const lengths: Lengths = { grid: [4, 32, 32], text: 512, image: 257 };
const layers = 4;
const ranks = 2;

const timesSchema = z.object({ medianSeconds: z.number(), minSeconds: z.number(), runs: z.number() });
const reportSchema = z.object({
  alone: timesSchema,
  together: timesSchema,
  flops: z.number(),
  peakBytes: z.number(),
});

/**
 * What ranks do: share out one pass by Ulysses, or each compute a whole one. The second is as much as cores
 * that share caches and memory can win, however the work is shared out.
 */
type Sharing = "split" | "apart";

/** A forward pass over ranks, a thread each, beside the same on one rank while the others are idle. */
export const ranksFamily: BenchmarkFamily = {
  name: "ranks",
  cases: [],
  ranksCases: (["bfloat16", "float32"] as const).flatMap((dtype) => [
    ranksCase(dtype, "split", `over ${ranks} ranks of one thread`),
    ranksCase(dtype, "apart", `one on each of ${ranks} ranks at once`),
  ]),
};

function ranksCase(dtype: BenchDType, sharing: Sharing, told: string): RanksCase {
  return {
    case: `forward pass, ${layers} blocks of 1.3B width, S 4096, ${told}; peer: one rank`,
    dtype,
    ranks,
    async measure(runs) {
      const { alone, together, ...rest } = reportSchema.parse(
        await runProgram("ranks-program.ts", ranks, { dtype, runs, lengths, layers, sharing }),
      );
      const passes = sharing === "apart" ? ranks : 1;
      const ratio = (passes * alone.medianSeconds) / together.medianSeconds;
      return { ...together, ...rest, peer: { name: "1 rank", medianSeconds: alone.medianSeconds, ratio } };
    },
  };
}

/** Starts ranks of a program of this folder; what rank 0 printed, as JSON. */
export async function runProgram(program: string, worldSize: number, settings: object): Promise<unknown> {
  const lines: string[] = [];
  await launchRanks({
    worldSize,
    command: [process.execPath, join(import.meta.dir, program), JSON.stringify(settings)],
    captureRank0: true,
    onLine: (rank, line) => {
      if (rank === 0 && line.startsWith("{")) lines.push(line);
    },
  });
  const report: unknown = JSON.parse(lines.at(-1) ?? "null");
  return report;
}
