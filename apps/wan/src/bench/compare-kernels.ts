import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchRequest } from "./arguments.ts";
import type { BenchmarkOutcome, BenchmarkResult } from "./case.ts";
import { isResult } from "./run-benchmarks.ts";

/** What attention came to by one of our kernels. */
export interface KernelResults {
  /** As `WAN_CUDA_ATTENTION` has it. */
  readonly kernel: string;
  readonly results: readonly BenchmarkResult[];
  /** Whether every case was timed. */
  readonly complete: boolean;
}

/**
 * Times attention by each of these kernels, one after the other in a process of its own, since a device has its
 * kernels from when it is opened on. PyTorch is timed beside the first alone.
 */
export async function timeKernels(
  { device, filter, peers, repeats }: BenchRequest,
  kernels: readonly string[],
): Promise<KernelResults[]> {
  const folder = await mkdtemp(join(tmpdir(), "wan-kernels-"));
  try {
    const timed: KernelResults[] = [];
    for (const [place, kernel] of kernels.entries()) {
      process.stderr.write(`WAN_CUDA_ATTENTION=${kernel}\n`);
      const file = join(folder, `${place}.json`);
      const flags = [
        "--only",
        "attention",
        "--device",
        device,
        "--case",
        filter || "bfloat16",
        "--json",
        file,
      ];
      if (peers && place === 0) flags.push("--peers");
      const line = [
        process.execPath,
        join(import.meta.dir, "main.ts"),
        ...flags,
        "--runs",
        `${repeats.runs}`,
      ];
      const child = Bun.spawn(line, {
        env: { ...process.env, WAN_CUDA_ATTENTION: kernel },
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
      });
      const status = await child.exited;
      const written = Bun.file(file);
      const outcomes = (await written.exists()) ? ((await written.json()) as BenchmarkOutcome[]) : [];
      timed.push({ kernel, results: outcomes.filter(isResult), complete: status === 0 });
    }
    return timed;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** TFLOP/s of each kernel, of cuDNN and of PyTorch, a line a case; and the share of PyTorch's that ours are. */
export function formatKernels(timed: readonly KernelResults[]): string {
  const cases = new Map<string, BenchmarkResult[]>();
  for (const { results } of timed) {
    for (const result of results) {
      const what = `${result.case}, ${result.dtype}`;
      cases.set(what, [...(cases.get(what) ?? []), result]);
    }
  }
  const rows = [["TFLOP/s", ...timed.map(({ kernel }) => kernel), "cudnn", "pytorch"]];
  for (const [what, all] of cases) {
    const peer = all.find((result) => result.peer)?.peer;
    const cudnn = all.find((result) => result.cudnn)?.cudnn;
    const flops = (all[0]?.gflops ?? 0) * (all[0]?.medianSeconds ?? 0);
    const rate = (seconds: number): string => (flops / seconds / 1000).toFixed(0);
    const ours = timed.map(({ results }) => {
      const found = results.find((result) => `${result.case}, ${result.dtype}` === what);
      if (!found) return "–";
      const share = peer ? ` ${(peer.medianSeconds / found.medianSeconds).toFixed(2)}×` : "";
      return `${rate(found.medianSeconds)}${share}`;
    });
    const others = [cudnn, peer].map((other) => (other ? `${rate(other.medianSeconds)} ${other.name}` : "–"));
    rows.push([what, ...ours, ...others]);
  }
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
