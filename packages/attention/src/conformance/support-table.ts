import { testedDTypes } from "./attention-setup.ts";
import type { CaseResult, ConformanceReport } from "./run-conformance.ts";

/**
 * What backends support, as a Markdown table: a line for each family and dtype, a column for each
 * backend, in which stands how many cases passed, of how many, and how many failed.
 */
export function supportTable(reports: readonly ConformanceReport[]): string {
  const families = new Set(reports.flatMap(({ results }) => results.map((result) => result.case.family)));
  const lines = [
    ["cases", "dtype", ...reports.map(({ backend }) => backend)],
    ["---", "---", ...reports.map(() => "---")],
  ];
  for (const family of families) {
    for (const dtype of testedDTypes) {
      const cells = reports.map(({ results }) =>
        describe(results.filter((one) => one.case.family === family && one.case.request.dtype === dtype)),
      );
      lines.push([family, dtype, ...cells]);
    }
  }
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`;
}

function describe(results: readonly CaseResult[]): string {
  const count = (outcome: CaseResult["outcome"]): number =>
    results.filter((result) => result.outcome === outcome).length;
  if (results.length === 0) return "not run";
  if (count("unsupported") === results.length) return "unsupported";
  const failed = count("failed") > 0 ? `, ${count("failed")} failed` : "";
  return count("passed") === results.length ? "all" : `${count("passed")} of ${results.length}${failed}`;
}
