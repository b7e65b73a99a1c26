import type { BenchmarkOutcome, BenchmarkResult, PeerComparison } from "./case.ts";

const bandwidth = "GB/s";
const published = "of data sheet";
const cudnnTitle = "cudnn";

const columns: readonly (readonly [title: string, of: (result: BenchmarkResult) => string])[] = [
  ["name", (result) => result.name],
  ["case", (result) => result.case],
  ["dtype", (result) => result.dtype],
  ["median", (result) => seconds(result.medianSeconds)],
  ["min", (result) => seconds(result.minSeconds)],
  ["runs", (result) => String(result.runs)],
  ["GFLOP/s", (result) => (result.gflops === null ? "–" : result.gflops.toFixed(0))],
  [bandwidth, ({ gigabytesPerSecond }) => gigabytesPerSecond?.toFixed(0) ?? "–"],
  ["of peak", ({ shareOfPeak, shareOfBandwidth }) => percent(shareOfPeak ?? shareOfBandwidth ?? null)],
  [published, ({ shareOfPublished }) => percent(shareOfPublished ?? null)],
  ["tensors", (result) => `${(result.peakBytes / 2 ** 20).toFixed(0)} MiB`],
  [cudnnTitle, ({ cudnn }) => compared(cudnn)],
  ["peer", ({ peer }) => compared(peer)],
];

/** A case and what it came to, in one line. */
export function describeOutcome(outcome: BenchmarkOutcome): string {
  const what = `${outcome.name}: ${outcome.case}, ${outcome.dtype}`;
  if ("error" in outcome) return `${what}: failed: ${outcome.error}`;
  const { gflops, gigabytesPerSecond, cudnn, cudnnAbsent, peer, peerAbsent } = outcome;
  const share = outcome.shareOfPeak ?? outcome.shareOfBandwidth ?? null;
  const facts = [
    seconds(outcome.medianSeconds),
    ...(gflops === null ? [] : [`${gflops.toFixed(0)} GFLOP/s`]),
    ...(gigabytesPerSecond === undefined ? [] : [`${gigabytesPerSecond.toFixed(0)} GB/s`]),
    ...(share === null ? [] : [`${percent(share)} of peak`]),
    ...(cudnn ? [`${cudnn.ratio.toFixed(2)}× of ${cudnn.name}, ${seconds(cudnn.medianSeconds)}`] : []),
    ...(cudnnAbsent === undefined ? [] : [`no cudnn: ${cudnnAbsent}`]),
    ...(peer ? [`${peer.ratio.toFixed(2)}× of ${peer.name}, ${seconds(peer.medianSeconds)}`] : []),
    ...(peerAbsent === undefined ? [] : [`no peer: ${peerAbsent}`]),
  ];
  return `${what}: ${facts.join("; ")}`;
}

/** The results as an aligned table, a line each; with columns that some have no figures for where others do. */
export function formatTable(results: readonly BenchmarkResult[]): string {
  const has = {
    [bandwidth]: results.some(({ gigabytesPerSecond }) => gigabytesPerSecond !== undefined),
    [published]: results.some(({ shareOfPublished }) => typeof shareOfPublished === "number"),
    [cudnnTitle]: results.some(({ cudnn }) => cudnn !== undefined),
  };
  const shown = columns.filter(([title]) => has[title as keyof typeof has] ?? true);
  const rows = [shown.map(([title]) => title), ...results.map((result) => shown.map(([, of]) => of(result)))];
  const widths = shown.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function compared(other: PeerComparison | undefined): string {
  return other ? `${seconds(other.medianSeconds)}, ${other.ratio.toFixed(2)}×` : "";
}

function percent(share: number | null): string {
  return share === null ? "–" : `${(100 * share).toFixed(0)} %`;
}

function seconds(value: number): string {
  if (value >= 1) return `${value.toFixed(2)} s`;
  return value >= 1e-3 ? `${(value * 1e3).toFixed(2)} ms` : `${(value * 1e6).toFixed(1)} µs`;
}
