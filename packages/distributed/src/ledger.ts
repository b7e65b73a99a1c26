import type { LedgerEntry, ProcessGroup } from "./process-group.ts";

/** Completed collectives of one kind in the groups of one label, as this rank saw them. */
export interface RankLedgerEntry extends LedgerEntry {
  /** The groups' label. */
  readonly group: string;
}

/** @internal The ledgers of all groups; those of one label count together. */
export function rankLedger(groups: readonly ProcessGroup[]): RankLedgerEntry[] {
  return sum(
    groups.flatMap((group) => group.ledger().map((entry) => ({ group: group.label, ...entry }))),
    [],
  );
}

/** What was completed between two looks at a ledger; without entries in which nothing was. */
export function ledgerSince(
  before: readonly RankLedgerEntry[],
  after: readonly RankLedgerEntry[],
): RankLedgerEntry[] {
  return sum(after, before).filter(({ count }) => count > 0);
}

/** The sum of `entries` by group and kind, less `subtracted`. */
function sum(entries: readonly RankLedgerEntry[], subtracted: readonly RankLedgerEntry[]): RankLedgerEntry[] {
  const sums = new Map<string, RankLedgerEntry>();
  const add = (sign: 1 | -1, { group, collective, ...entry }: RankLedgerEntry): void => {
    const key = JSON.stringify([group, collective]);
    const before = sums.get(key) ?? { count: 0, bytesSent: 0, bytesReceived: 0 };
    sums.set(key, {
      group,
      collective,
      count: before.count + sign * entry.count,
      bytesSent: before.bytesSent + sign * entry.bytesSent,
      bytesReceived: before.bytesReceived + sign * entry.bytesReceived,
    });
  };
  for (const entry of entries) add(1, entry);
  for (const entry of subtracted) add(-1, entry);
  return [...sums.values()];
}
