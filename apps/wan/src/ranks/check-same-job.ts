import { createHash } from "node:crypto";
import { instructionSet } from "@wan-ts/tensor";
import { z } from "zod";
import type { Job } from "../generate/job.ts";
import { AgreedRefusal } from "./agreed-refusal.ts";
import type { RunRanks } from "./run-ranks.ts";

const facts = z.record(z.string(), z.unknown());

/** Ranks that were asked for different videos, or would compute them differently. */
export class DifferentJobsError extends AgreedRefusal {
  /** The first thing that differs. */
  readonly subject: string;

  constructor(subject: string, rank: number, found: unknown, first: unknown) {
    const remedy =
      subject === "instructionSet"
        ? "set --instruction-set to what all machines have"
        : "every rank needs the same flags, config, checkpoint and image";
    super(
      `the ranks are to do different things: ${subject} is ${JSON.stringify(found)} on rank ${rank}, and ${JSON.stringify(first)} on rank 0; ${remedy}`,
    );
    this.subject = subject;
  }
}

/**
 * Makes sure that all ranks are about to make the same video in the same way: each reads flags, config
 * and checkpoint by itself, maybe on a machine of its own.
 *
 * @throws {DifferentJobsError} on every rank.
 */
export async function checkSameJob(ranks: RunRanks, job: Job): Promise<void> {
  const all = (await ranks.gatherJson(jobFacts(job))).map((each) => facts.parse(each));
  const [first = {}] = all;
  for (const [rank, each] of all.entries()) {
    for (const subject of new Set([...Object.keys(first), ...Object.keys(each)])) {
      const [found, expected] = [each[subject], first[subject]];
      if (JSON.stringify(found) !== JSON.stringify(expected)) {
        throw new DifferentJobsError(subject, rank, found ?? null, expected ?? null);
      }
    }
  }
}

/** What makes two videos differ. Paths don't: the same model may lie elsewhere on another machine. */
function jobFacts({ checkpoint, load, vaeTiling, options, seed, images }: Job): Record<string, unknown> {
  const { task, dtype, attentionBackend, quantization, cpuOffload, parallel, parallelTextEncoder } = load;
  const { generator: _, ...wishes } = options;
  const image = ({ data, width, height }: { data: Uint8Array; width: number; height: number }): string =>
    `${width}×${height} ${digest(data)}`;
  return {
    instructionSet: instructionSet(),
    // Which one each rank has is its own.
    device: load.device === undefined || load.device === "cpu" ? "cpu" : "cuda",
    ...wishes,
    seed,
    ...{ task, dtype, attentionBackend, cpuOffload, parallel, parallelTextEncoder, vaeTiling },
    quantization: quantization && JSON.stringify(quantization),
    image: images.image && image(images.image),
    lastImage: images.lastImage && image(images.lastImage),
    transformer: digest(JSON.stringify(checkpoint.transformer)),
    scheduler: digest(JSON.stringify(checkpoint.scheduler.config)),
  };
}

function digest(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex").slice(0, 16);
}
