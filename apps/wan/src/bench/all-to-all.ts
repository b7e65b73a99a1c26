import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { BenchmarkFamily, PeerComparison, RanksCase } from "./case.ts";
import { statistics } from "./measure.ts";
import { PeerError } from "./peer.ts";
import { runProgram } from "./ranks.ts";

const ranks = 2;
/** 64 MiB of bfloat16 a rank, in heads as of 16 × 128. */
const sizes = { tokens: 16_384, heads: 16, headDim: 128 };
const bytes = sizes.tokens * sizes.heads * sizes.headDim * 2;
/** An all-to-all is short: more runs than were asked for steady the median. */
const leastRuns = 20;

const reportSchema = z.object({
  medianSeconds: z.number(),
  minSeconds: z.number(),
  runs: z.number(),
  peakBytes: z.number(),
});

/** What is exchanged: a piece for each rank, or heads for tokens, of which every row has a share of each. */
type Exchange = "pieces" | "heads";

/** All-to-alls between ranks of this machine. */
export const allToAllFamily: BenchmarkFamily = {
  name: "all-to-all",
  cases: [],
  ranksCases: [
    allToAllCase("pieces", "a piece for each"),
    allToAllCase("heads", "heads for tokens; peer: packed first"),
  ],
};

function allToAllCase(exchange: Exchange, told: string): RanksCase {
  return {
    case: `${bytes / 2 ** 20} MiB a rank between ${ranks} ranks, ${told}`,
    dtype: "bfloat16",
    ranks,
    async measure(asked, peers) {
      const runs = Math.max(asked, leastRuns);
      const measured = reportSchema.parse(
        await runProgram("all-to-all-program.ts", ranks, { ...sizes, runs, exchange }),
      );
      const peer = peers ? await timeOpenMpi(runs, exchange) : undefined;
      return {
        ...measured,
        flops: undefined,
        peer: peer && { ...peer, ratio: peer.medianSeconds / measured.medianSeconds },
      };
    },
  };
}

/** The same bytes by MPI_Alltoall; undefined where there is no mpicc or mpirun. */
async function timeOpenMpi(
  runs: number,
  exchange: Exchange,
): Promise<Omit<PeerComparison, "ratio"> | undefined> {
  const [compiler, launcher] = [Bun.which("mpicc"), Bun.which("mpirun")];
  if (!compiler || !launcher) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "wan-ts-bench-"));
  try {
    const program = join(folder, "all-to-all");
    await output([compiler, "-O2", join(import.meta.dir, "open-mpi-peer.c"), "-o", program]);
    const lines = await output([
      ...[launcher, "--allow-run-as-root", "--oversubscribe", "-np", `${ranks}`],
      ...[program, `${bytes}`, `${runs}`, `${exchange === "heads" ? sizes.heads * sizes.headDim * 2 : 0}`],
    ]);
    const seconds = lines.trim().split("\n").map(Number);
    return { name: "Open MPI", medianSeconds: statistics(seconds).medianSeconds };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function output(command: readonly string[]): Promise<string> {
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe" });
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0)
    throw new PeerError(`${command[0]} failed: ${errors.trim().split("\n").at(-1)}`);
  return text;
}
