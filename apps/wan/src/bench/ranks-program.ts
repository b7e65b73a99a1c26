/**
 * A rank of the benchmark of ranks: blocks of Wan-1.3B's width, on rank 0 alone and on all ranks in
 * turn, split or each by itself, one thread a rank. Rank 0 prints what both took as a line of JSON.
 *
 * Usage: bun ranks-program.ts '{"dtype":"bfloat16","runs":3,"layers":4,"sharing":"split","lengths":{…}}'
 */
import { ContextParallelizer } from "@wan-ts/context-parallel";
import { joinRanks } from "@wan-ts/distributed";
import { transformerAttentionRequests, transformerLoadOptions, WanTransformer } from "@wan-ts/models";
import { memory, resetPeakMemory, setThreads, synchronize, Tensor } from "@wan-ts/tensor";
import { z } from "zod";
import { blocksConfig, TransformerInputs } from "./blocks.ts";
import { BenchmarkError } from "./case.ts";
import { statistics } from "./measure.ts";
import { benchAttention, countFlops, fillWithRandom } from "./random-model.ts";

const { dtype, runs, lengths, layers, sharing } = z
  .object({
    dtype: z.enum(["float32", "bfloat16"]),
    runs: z.int(),
    layers: z.int(),
    sharing: z.enum(["split", "apart"]),
    lengths: z.object({ grid: z.tuple([z.int(), z.int(), z.int()]), text: z.int(), image: z.int() }),
  })
  .parse(JSON.parse(process.argv[2] ?? "{}"));

const ranks = joinRanks();
if (!ranks) throw new Error("this program is started by `bun run bench --only ranks`");
setThreads(1);
const config = { ...blocksConfig, numLayers: layers };
const attention = benchAttention(transformerAttentionRequests(config, dtype, "cpu"));
const transformer = new WanTransformer(config, attention, new ContextParallelizer(ranks));
fillWithRandom(transformer, transformerLoadOptions(dtype));
const inputs = new TransformerInputs(transformer, lengths, dtype);
const flops = countFlops({ module: transformer, attention }, () => inputs.run().dispose());

const whole = await bytesOf(inputs.run());
transformer.enableParallelism({ ulyssesDegree: ranks.size });
const split = await bytesOf(inputs.run());
if (!whole.equals(split)) throw new BenchmarkError(Number.NaN, 0, 0, "the output over ranks: other bytes");

resetPeakMemory();
const alone: number[] = [];
const together: number[] = [];
for (let run = 0; run < runs; run++) {
  transformer.disableParallelism();
  await ranks.world.barrier();
  if (ranks.rank === 0) alone.push(await timed());
  if (sharing === "split") transformer.enableParallelism({ ulyssesDegree: ranks.size });
  await ranks.world.barrier();
  const seconds = await timed();
  together.push(sharing === "split" ? seconds : await slowest(seconds));
}
if (ranks.rank === 0) {
  const report = {
    alone: statistics(alone),
    together: statistics(together),
    flops,
    peakBytes: memory().peakBytes,
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
inputs[Symbol.dispose]();
transformer.dispose();
await synchronize();
ranks.finish();

/** The most that any rank took. */
async function slowest(seconds: number): Promise<number> {
  using own = Tensor.from([seconds], [1]);
  using all = ranks!.world.allGather(own);
  return Math.max(...(await all.floats()));
}

async function timed(): Promise<number> {
  const started = performance.now();
  using output = inputs.run();
  await output.rawBytes();
  return (performance.now() - started) / 1000;
}

async function bytesOf(output: Tensor): Promise<Buffer> {
  using held = output;
  return Buffer.from(await held.rawBytes());
}
