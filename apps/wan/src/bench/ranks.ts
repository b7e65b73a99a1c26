import { join } from "node:path";
import { launchRanks } from "@wan-ts/distributed";
import { z } from "zod";
import type { Lengths } from "./blocks.ts";
import type { BenchDType, BenchmarkFamily, RanksCase } from "./case.ts";

const lengths: Lengths = { grid: [4, 32, 32], text: 512, image: 257 };

const timesSchema = z.object({ medianSeconds: z.number(), minSeconds: z.number(), runs: z.number() });
const reportSchema = z.object({
  alone: timesSchema,
  together: timesSchema,
  flops: z.number(),
  peakBytes: z.number(),
});

/** A forward pass over ranks by Ulysses, a thread each, beside the same on one rank. */
export const ranksFamily: BenchmarkFamily = {
  name: "ranks",
  cases: [],
  ranksCases: (["bfloat16", "float32"] as const).map((dtype) => ranksCase(dtype, 2)),
};

function ranksCase(dtype: BenchDType, ranks: number): RanksCase {
  return {
    case: `forward pass, 2 blocks of 1.3B width, S 4096, over ${ranks} ranks of one thread; peer: one rank`,
    dtype,
    ranks,
    async measure(runs) {
      const { alone, together, ...rest } = reportSchema.parse(
        await runProgram("ranks-program.ts", ranks, { dtype, runs, lengths }),
      );
      const ratio = alone.medianSeconds / together.medianSeconds;
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
