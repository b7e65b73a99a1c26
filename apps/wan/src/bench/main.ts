import { rename } from "node:fs/promises";
import { checkFileTarget } from "@wan-ts/media";
import { setThreads } from "@wan-ts/tensor";
import { chooseDevice } from "../generate/device.ts";
import { checkingInput } from "../input-error.ts";
import { reportFailure } from "../report-failure.ts";
import { type BenchRequest, parseBenchArguments } from "./arguments.ts";
import type { BenchmarkOutcome } from "./case.ts";
import { formatKernels, timeKernels } from "./compare-kernels.ts";
import { Peer } from "./peer.ts";
import { isResult, runBenchmarks } from "./run-benchmarks.ts";
import { describeOutcome, formatTable } from "./table.ts";

try {
  const request = parseBenchArguments(process.argv.slice(2));
  if ("help" in request) process.stdout.write(request.help);
  else if (request.kernels) await compare(request, request.kernels);
  else await bench(request);
} catch (error) {
  process.exitCode = reportFailure(error, process.stderr);
}

async function compare(request: BenchRequest, kernels: readonly string[]): Promise<void> {
  const device = chooseDevice(request.device, { localRank: 0, purpose: "run" });
  const timed = await timeKernels({ ...request, device }, kernels);
  process.stdout.write(`${formatKernels(timed)}\n`);
  const broken = timed.filter(({ complete }) => !complete).map(({ kernel }) => kernel);
  if (broken.length > 0) throw new Error(`not every case was timed by ${broken.join(", ")}; see above`);
}

async function bench(request: BenchRequest): Promise<void> {
  const { json, peers } = request;
  if (request.threads !== undefined) setThreads(request.threads);
  const device = chooseDevice(request.device, { localRank: 0, purpose: "run" });
  if (json !== undefined) await checkingInput(() => checkFileTarget(json));
  await using peer = peers ? await Peer.start(device) : undefined;
  const outcomes: BenchmarkOutcome[] = [];
  await runBenchmarks({ ...request, device }, peer, async (outcome) => {
    outcomes.push(outcome);
    process.stderr.write(`${describeOutcome(outcome)}\n`);
    if (json !== undefined) await write(json, outcomes);
  });
  if (json !== undefined && outcomes.length === 0) await write(json, outcomes);
  const results = outcomes.filter(isResult);
  if (results.length > 0) process.stdout.write(`${formatTable(results)}\n`);
  const failed = outcomes.length - results.length;
  if (failed > 0) throw new Error(`${failed} of ${outcomes.length} cases failed; see above`);
}

/** After each case, and whole each time: whoever ends this process early has what there was. */
async function write(file: string, outcomes: readonly BenchmarkOutcome[]): Promise<void> {
  const part = `${file}.part`;
  await Bun.write(part, `${JSON.stringify(outcomes, null, 2)}\n`);
  await rename(part, file);
}
