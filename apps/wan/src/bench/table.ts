import type { BenchmarkResult } from "./case.ts";

const bandwidth = "GB/s";

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
  ["tensors", (result) => `${(result.peakBytes / 2 ** 20).toFixed(0)} MiB`],
  ["peer", ({ peer }) => (peer ? `${seconds(peer.medianSeconds)}, ${peer.ratio.toFixed(2)}×` : "")],
];

/** The results as an aligned table, a line each; with a column of bandwidths where there are any. */
export function formatTable(results: readonly BenchmarkResult[]): string {
  const withBandwidth = results.some(({ gigabytesPerSecond }) => gigabytesPerSecond !== undefined);
  const shown = columns.filter(([title]) => withBandwidth || title !== bandwidth);
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

function percent(share: number | null): string {
  return share === null ? "–" : `${(100 * share).toFixed(0)} %`;
}

function seconds(value: number): string {
  if (value >= 1) return `${value.toFixed(2)} s`;
  return value >= 1e-3 ? `${(value * 1e3).toFixed(2)} ms` : `${(value * 1e6).toFixed(1)} µs`;
}
