import type { RanksPlan } from "@wan-ts/wan";
import { formatSeconds } from "../progress.ts";
import type { RanksComparison } from "./plan-job-ranks.ts";
import { formatBytes, table } from "./plan-table.ts";

/** Below it, ranks wait more than they should. */
const poorEfficiency = 0.7;

/** A plan over ranks as people read it. */
export function ranksTable({ chosen, others, bandwidth }: RanksComparison): string {
  const { ranks, perBlock } = chosen;
  const lines = [
    "",
    `${ranks.length} ranks: ${layoutOf(chosen)}`,
    "",
    ...table(
      ["rank", "tokens", "heads", "peak memory", "collectives", "sent", "received"],
      ranks.map(({ rank, tokens, heads, plan, collectives }) => [
        `${rank}`,
        `${tokens}`,
        `${heads}`,
        formatBytes(plan.peakResidentBytes),
        `${sum(collectives.map(({ count }) => count))}`,
        formatBytes(sum(collectives.map(({ bytesSent }) => bytesSent))),
        formatBytes(sum(collectives.map(({ bytesReceived }) => bytesReceived))),
      ]),
    ),
    "",
    ...(perBlock.length === 0
      ? ["block   no collective"]
      : perBlock.map(
          ({ collective, count, bytes }) =>
            `block   ${count} ${collective} in each pass, ${formatBytes(bytes)} sent by rank 0 in each`,
        )),
    "        0 collectives in cross-attention: text and image tokens are whole on every rank",
  ];
  if (chosen.seconds !== undefined && chosen.efficiency !== undefined) {
    lines.push(
      `time    about ${formatSeconds(chosen.seconds)}, ${percent(chosen.efficiency)} efficient, where each rank has this machine's speed and exchanges ${(bandwidth / 1e9).toPrecision(3)} GB/s`,
    );
    if (chosen.efficiency < poorEfficiency) {
      lines.push("        less than 70 %: fewer ranks, or each its own video, would use them better");
    }
  }
  if (others.length > 0) {
    lines.push(
      "",
      ...table(
        ["instead", "time", "efficiency", "sent by rank 0"],
        others.map((other) => [
          layoutOf(other),
          other.seconds === undefined ? "" : formatSeconds(other.seconds),
          other.efficiency === undefined ? "" : percent(other.efficiency),
          formatBytes(sum(other.ranks[0]?.collectives.map(({ bytesSent }) => bytesSent) ?? [])),
        ]),
      ),
    );
  }
  return `${lines.join("\n")}\n`;
}

function layoutOf({ degrees: { cfg, ring, ulysses } }: RanksPlan): string {
  return `${cfg === 2 ? "2 prompts × " : ""}ring ${ring} × Ulysses ${ulysses}`;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
