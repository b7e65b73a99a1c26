/**
 * Compares what `plan` tells of a run with what the run takes: memory as the system counts it, tensors
 * and seconds by stage.
 *
 * Usage: bun scripts/compare-plan.ts [flags of generate]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

interface Stage {
  readonly stage: string;
  readonly peakTensorBytes: number;
  readonly seconds: number;
}
interface Plan {
  readonly peakResidentBytes: number;
  readonly stages: readonly Stage[];
}
interface Report {
  readonly ranks: readonly [{ readonly peakResidentBytes: number }];
  readonly peakTensorBytes: Readonly<Record<string, number>>;
  readonly seconds: Readonly<Record<string, number>>;
}

const main = join(dirname(import.meta.dir), "apps/wan/src/main.ts");
const folder = mkdtempSync(join(tmpdir(), "wan-plan-"));

/** The last line that the app prints, as JSON. */
async function run(command: "plan" | "generate"): Promise<unknown> {
  const line = [process.execPath, main, command, ...process.argv.slice(2), "--json", "--quiet"];
  const child = Bun.spawn([...line, "--output", join(folder, "out.mp4")], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) process.exit(1);
  return JSON.parse(text.trim().split("\n").at(-1) ?? "");
}

try {
  const plan = (await run("plan")) as Plan;
  const report = (await run("generate")) as Report;
  const mebibytes = (bytes: number | undefined): string => ((bytes ?? 0) / 2 ** 20).toFixed(1).padStart(10);
  const row = (name: string, planned: string, found: string): void => {
    process.stdout.write(`${name.padEnd(32)}${planned}${found}\n`);
  };
  row("", "   planned", "     found");
  const resident = report.ranks[0].peakResidentBytes;
  row("resident set, MiB", mebibytes(plan.peakResidentBytes), mebibytes(resident));
  for (const { stage, peakTensorBytes, seconds } of plan.stages.filter(({ stage }) => stage !== "load")) {
    row(`${stage}: tensors, MiB`, mebibytes(peakTensorBytes), mebibytes(report.peakTensorBytes[stage]));
    const found = report.seconds[stage] ?? 0;
    row(`${stage}: seconds`, seconds.toFixed(2).padStart(10), found.toFixed(2).padStart(10));
  }
  const ratio = plan.peakResidentBytes / resident;
  process.stdout.write(`resident set, planned to found: ${ratio.toFixed(3)}\n`);
} finally {
  rmSync(folder, { recursive: true });
}
