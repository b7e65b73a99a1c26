import type { RgbImage } from "@wan-ts/media";
import { type GenerateResult, loadPipeline } from "@wan-ts/wan";
import type { Config } from "../config/schema.ts";
import { checkingInput } from "../input-error.ts";
import { checkMemory } from "../plan/check-memory.ts";
import { formatSeconds, Progress, type ProgressStream } from "../progress.ts";
import { checkingInputTogether } from "../ranks/agreed-refusal.ts";
import { checkSameJob } from "../ranks/check-same-job.ts";
import { launchRun } from "../ranks/launch-run.ts";
import { PlaceNotes } from "../ranks/place-notes.ts";
import { collectivesByKind, rankFacts } from "../ranks/rank-facts.ts";
import { RunRanks } from "../ranks/run-ranks.ts";
import { shareMachine } from "../ranks/share-threads.ts";
import { RunTrace } from "../trace/run-trace.ts";
import { releaseDevice } from "./device.ts";
import { type Job, prepareJob } from "./job.ts";
import { writeOutputs } from "./outputs.ts";
import { RunReport } from "./run-report.ts";

type LoadedPipeline = Awaited<ReturnType<typeof loadPipeline>>;

/**
 * Makes a video as flags, config file and the checkpoint's defaults say, in this process or in ranks
 * that it starts.
 *
 * @throws {InputError} for what can't be used, before anything heavy starts; other errors come while
 * running.
 */
export async function generate(
  configFile: string | undefined,
  flags: Config,
  signal: AbortSignal,
): Promise<void> {
  const report = new RunReport();
  const job = await checkingInput(() => prepareJob(configFile, flags));
  await checkingInput(() => checkMemory(job, job.parallel.ranks));
  if (job.parallel.ranks > 1) {
    releaseDevice(job.load.device);
    await launchRun(job, signal);
  } else await makeVideo(job, RunRanks.alone(), report, signal);
}

/**
 * Does this rank's share of a video, as {@link generate} does the whole.
 *
 * @throws as {@link generate} does, and where another rank fails.
 */
export async function generateAsRank(
  configFile: string | undefined,
  flags: Config,
  signal: AbortSignal,
  ranks: RunRanks,
): Promise<void> {
  const report = new RunReport();
  const share = await shareMachine(ranks);
  const job = await checkingInputTogether(ranks, async () => {
    const { size, ranks: joined } = ranks;
    const prepared = await prepareJob(configFile, flags, { size, ranks: joined, threads: share.threads });
    // A launcher of ours has made sure of it before it started any rank.
    if (!ranks.hasLauncher) await checkMemory(prepared, share.ranks);
    return prepared;
  });
  await checkSameJob(ranks, job);
  await makeVideo(job, ranks, report, signal);
}

async function makeVideo(job: Job, ranks: RunRanks, report: RunReport, signal: AbortSignal): Promise<void> {
  using places = new PlaceNotes(ranks.ranks);
  using trace = job.isTraced ? await RunTrace.start(ranks) : undefined;
  const timed = <T>(name: string, body: () => Promise<T>): Promise<T> => {
    trace?.begin(name);
    return report.time(name, body).finally(() => trace?.end(name));
  };
  places.note("loading");
  // Names, shapes and dtypes of all weights are checked before the first is read.
  using pipeline = await timed("load", () => checkingInput(() => loadPipeline(job.checkpoint, job.load)));
  if (job.vaeTiling) pipeline.vae.enableTiling();
  places.watchBlocks(pipeline.transformer);
  places.watchBlocks(pipeline.transformer2);
  const progress = new Progress(...progressOf(job, ranks));
  try {
    using result = await run(pipeline, job, { report, progress, places, trace }, signal);
    places.note("the end");
    const facts = await ranks.gatherJson(rankFacts(ranks));
    await trace?.gather();
    const { outputs } = job;
    if (!outputs) return;

    places.note("writing");
    await timed("write", () => writeOutputs(outputs, result, job.fps, signal));
    if (outputs.trace !== undefined) await trace?.write(outputs.trace);
    const { numFrames, width, height } = result.frames;
    progress.line(
      `${outputs.file}: ${numFrames} frames of ${width}×${height}, ${formatSeconds(report.totalSeconds)}`,
    );
    if (job.json) {
      const collectives = collectivesByKind(ranks.ledger());
      const object = report.toJson(outputs, pipeline, result, {
        ranks: facts,
        collectives,
        deviceCollectives: ranks.ranks?.deviceCollectives(),
      });
      process.stdout.write(`${JSON.stringify(object)}\n`);
    }
  } finally {
    progress.finish();
  }
}

/** Where this rank's progress goes, and whether it is quiet. */
function progressOf({ quiet, logRanks }: Job, ranks: RunRanks): [ProgressStream, boolean] {
  // Lines of several ranks would be drawn over one another: these are plain.
  const plain = (prefix: string): ProgressStream => ({
    write: (text: string) => process.stderr.write(`${prefix}${text}`),
  });
  if (ranks.isFirst) return [logRanks ? plain("") : process.stderr, quiet];
  // A launcher of ours sees to the lines of the other ranks; others' keep and show what is written.
  return ranks.hasLauncher ? [process.stderr, quiet] : [plain(`[rank ${ranks.rank}] `), quiet || !logRanks];
}

/** Who hears how a run goes. */
interface Listeners {
  readonly report: RunReport;
  readonly progress: Progress;
  readonly places: PlaceNotes;
  readonly trace: RunTrace | undefined;
}

function run(
  pipeline: LoadedPipeline,
  { options, images }: Job,
  { report, progress, places, trace }: Listeners,
  signal: AbortSignal,
): Promise<GenerateResult> {
  const watched: typeof options = {
    ...options,
    signal,
    onStageStart: (stage) => {
      progress.stageStarted(stage);
      places.stageStarted(stage);
      trace?.begin(stage);
    },
    onStageEnd: (event) => {
      report.stageEnded(event);
      trace?.end(event.stage);
    },
    callbackOnStepEnd: (event) => {
      progress.step(event);
      places.stepEnded(event);
      const { step, timestep, seconds } = event;
      trace?.ended(`step ${step}`, seconds, { timestep });
    },
  };
  return pipeline.task === "imageToVideo"
    ? // There is an image: the check of inputs refuses a job without.
      pipeline.generate({ ...watched, ...images, image: images.image as RgbImage })
    : pipeline.generate(watched);
}
