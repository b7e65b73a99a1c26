import { checkFileTarget } from "@wan-ts/media";
import { setThreads } from "@wan-ts/tensor";
import { chooseDevice } from "../generate/device.ts";
import { checkingInput } from "../input-error.ts";
import { reportFailure } from "../report-failure.ts";
import { type BenchRequest, parseBenchArguments } from "./arguments.ts";
import type { BenchmarkResult } from "./case.ts";
import { Peer } from "./peer.ts";
import { runBenchmarks } from "./run-benchmarks.ts";
import { formatTable } from "./table.ts";

try {
  const request = parseBenchArguments(process.argv.slice(2));
  if ("help" in request) process.stdout.write(request.help);
  else await bench(request);
} catch (error) {
  process.exitCode = reportFailure(error, process.stderr);
}

async function bench(request: BenchRequest): Promise<void> {
  const { json, peers } = request;
  if (request.threads !== undefined) setThreads(request.threads);
  const device = chooseDevice(request.device, { localRank: 0, purpose: "run" });
  if (json !== undefined) await checkingInput(() => checkFileTarget(json));
  await using peer = peers ? await Peer.start(device) : undefined;
  const results: BenchmarkResult[] = [];
  try {
    await runBenchmarks({ ...request, device }, peer, (result) => {
      results.push(result);
      process.stderr.write(`${result.name}: ${result.case}, ${result.dtype}\n`);
    });
  } finally {
    // What was measured before a failure is worth seeing; the JSON is for whole runs.
    if (results.length > 0) process.stdout.write(`${formatTable(results)}\n`);
  }
  if (json !== undefined) await Bun.write(json, `${JSON.stringify(results, null, 2)}\n`);
}
