import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { threads } from "@wan-ts/tensor";
import { z } from "zod";
import type { RunRanks } from "./run-ranks.ts";

/** The cores of a machine that the system lends a rank. */
export interface RankCores {
  /** Of ranks on one machine it is the same. */
  readonly machine: string;
  /** Their numbers. */
  readonly cores: readonly number[];
  /** How many threads they are meant to run at once: less than there are cores where a control group says so. */
  readonly threads: number;
}

const rankCores = z.object({ machine: z.string(), cores: z.array(z.number()), threads: z.number() });

/** What a rank has of its machine. */
export interface MachineShare {
  readonly threads: number;
  /** Ranks on this machine, this one among them. */
  readonly ranks: number;
}

/**
 * What this rank has of its machine: its cores, each shared out evenly over the ranks of the machine
 * that have it too; at least one. Ranks that a launcher has bound to cores of their own keep those whole.
 */
export async function shareMachine(ranks: RunRanks): Promise<MachineShare> {
  const own = coresAtHand();
  const all = (await ranks.gatherJson(own)).map((cores) => rankCores.parse(cores));
  return {
    threads: shareOf(all, ranks.rank),
    ranks: all.filter(({ machine }) => machine === own.machine).length,
  };
}

/** The share of one rank of those that `all` describes. */
export function shareOf(all: readonly RankCores[], rank: number): number {
  const own = all[rank];
  if (!own) throw new RangeError(`there are ${all.length} ranks, and no rank ${rank}`);
  const neighbours = all.filter(({ machine }) => machine === own.machine);
  const cores = own.cores.reduce(
    (sum, core) => sum + 1 / neighbours.filter((neighbour) => neighbour.cores.includes(core)).length,
    0,
  );
  // Thirds of cores don't add up to whole ones exactly.
  const rounding = 1e-9;
  return Math.max(1, Math.floor((cores * own.threads) / own.cores.length + rounding));
}

function coresAtHand(): RankCores {
  const lent = threads();
  return { machine: machineName(), cores: affinity() ?? numbers(0, lent - 1), threads: lent };
}

/** The machine's own name, or what the kernel calls this start of it, which containers share. */
export function machineName(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return hostname();
  }
}

/** The cores that this process may run on; undefined where the system doesn't tell. */
function affinity(): number[] | undefined {
  let status: string;
  try {
    status = readFileSync("/proc/self/status", "utf8");
  } catch {
    return undefined;
  }
  const list = /^Cpus_allowed_list:\s*([\d,-]+)$/m.exec(status)?.[1];
  return list === undefined ? undefined : parseCoreList(list);
}

/** The numbers of a list such as `0-3,8`. */
export function parseCoreList(list: string): number[] {
  return list.split(",").flatMap((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return numbers(first ?? 0, last ?? 0);
  });
}

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
