import type { RankLedgerEntry } from "@wan-ts/distributed";
import { memory, threads } from "@wan-ts/tensor";
import type { RunRanks } from "./run-ranks.ts";

/** Collectives and the payload bytes that they moved. */
export interface Traffic {
  readonly count: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

/** What one rank took, as `--json` tells it; sizes in bytes. */
export interface RankFacts {
  readonly rank: number;
  readonly pid: number;
  readonly peakResidentBytes: number;
  readonly liveTensorBytes: number;
  readonly threads: number;
  /** By kind. */
  readonly collectives: Readonly<Record<string, Traffic>>;
}

/** What this rank has taken so far. */
export function rankFacts(ranks: RunRanks): RankFacts {
  return {
    rank: ranks.rank,
    pid: process.pid,
    peakResidentBytes: peakResidentBytes(),
    liveTensorBytes: memory().liveBytes,
    threads: threads(),
    collectives: sumBy(ranks.ledger(), ({ collective }) => collective),
  };
}

/** The collectives of a ledger by kind, and within each kind by the label of the group. */
export function collectivesByKind(
  ledger: readonly RankLedgerEntry[],
): Record<string, Traffic & { readonly groups: Record<string, Traffic> }> {
  const kinds = Object.entries(sumBy(ledger, ({ collective }) => collective));
  return Object.fromEntries(
    kinds.map(([kind, total]) => {
      const entries = ledger.filter(({ collective }) => collective === kind);
      return [kind, { ...total, groups: sumBy(entries, ({ group }) => group) }];
    }),
  );
}

function sumBy(
  ledger: readonly RankLedgerEntry[],
  nameOf: (entry: RankLedgerEntry) => string,
): Record<string, Traffic> {
  const sums: Record<string, Traffic> = {};
  for (const entry of ledger) {
    const { count, bytesSent, bytesReceived } = sums[nameOf(entry)] ?? {
      count: 0,
      bytesSent: 0,
      bytesReceived: 0,
    };
    sums[nameOf(entry)] = {
      count: count + entry.count,
      bytesSent: bytesSent + entry.bytesSent,
      bytesReceived: bytesReceived + entry.bytesReceived,
    };
  }
  return sums;
}

/** getrusage counts in KiB, but in bytes on macOS. */
function peakResidentBytes(): number {
  const { maxRSS } = process.resourceUsage();
  return process.platform === "darwin" ? maxRSS : maxRSS * 1024;
}
