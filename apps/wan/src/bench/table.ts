import type { BenchmarkResult } from "./case.ts";

const columns: readonly (readonly [title: string, of: (result: BenchmarkResult) => string])[] = [
  ["name", (result) => result.name],
  ["case", (result) => result.case],
  ["dtype", (result) => result.dtype],
  ["median", (result) => seconds(result.medianSeconds)],
  ["min", (result) => seconds(result.minSeconds)],
  ["runs", (result) => String(result.runs)],
  ["GFLOP/s", (result) => (result.gflops === null ? "–" : result.gflops.toFixed(0))],
  ["of peak", (result) => (result.shareOfPeak === null ? "–" : `${(100 * result.shareOfPeak).toFixed(0)} %`)],
  ["tensors", (result) => `${(result.peakBytes / 2 ** 20).toFixed(0)} MiB`],
  ["peer", ({ peer }) => (peer ? `${seconds(peer.medianSeconds)}, ${peer.ratio.toFixed(2)}×` : "")],
];

/** The results as an aligned table, a line each. */
export function formatTable(results: readonly BenchmarkResult[]): string {
  const rows = [
    columns.map(([title]) => title),
    ...results.map((result) => columns.map(([, of]) => of(result))),
  ];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function seconds(value: number): string {
  if (value >= 1) return `${value.toFixed(2)} s`;
  return value >= 1e-3 ? `${(value * 1e3).toFixed(2)} ms` : `${(value * 1e6).toFixed(1)} µs`;
}
