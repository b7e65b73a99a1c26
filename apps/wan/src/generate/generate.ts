import type { RgbImage } from "@wan-ts/media";
import { type GenerateResult, loadPipeline } from "@wan-ts/wan";
import type { Config } from "../config/schema.ts";
import { checkingInput } from "../input-error.ts";
import { checkMemory } from "../plan/check-memory.ts";
import { formatSeconds, Progress } from "../progress.ts";
import { type Job, prepareJob } from "./job.ts";
import { writeOutputs } from "./outputs.ts";
import { RunReport } from "./run-report.ts";

type LoadedPipeline = Awaited<ReturnType<typeof loadPipeline>>;

/**
 * Makes a video as flags, config file and the checkpoint's defaults say.
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
  await checkingInput(() => checkMemory(job));
  // Names, shapes and dtypes of all weights are checked before the first is read.
  using pipeline = await report.time("load", () =>
    checkingInput(() => loadPipeline(job.checkpoint, job.load)),
  );
  if (job.vaeTiling) pipeline.vae.enableTiling();
  const progress = new Progress(process.stderr, job.quiet);
  try {
    using result = await run(pipeline, job, report, progress, signal);
    await report.time("write", () => writeOutputs(job.outputs, result, job.fps, signal));
    const { numFrames, width, height } = result.frames;
    progress.line(
      `${job.outputs.file}: ${numFrames} frames of ${width}×${height}, ${formatSeconds(report.totalSeconds)}`,
    );
    if (job.json) process.stdout.write(`${JSON.stringify(report.toJson(job, pipeline, result))}\n`);
  } finally {
    progress.finish();
  }
}

function run(
  pipeline: LoadedPipeline,
  { options, images }: Job,
  report: RunReport,
  progress: Progress,
  signal: AbortSignal,
): Promise<GenerateResult> {
  const watched = {
    ...options,
    signal,
    onStageStart: progress.stageStarted.bind(progress),
    onStageEnd: report.stageEnded.bind(report),
    callbackOnStepEnd: progress.step.bind(progress),
  };
  return pipeline.task === "imageToVideo"
    ? // There is an image: the check of inputs refuses a job without.
      pipeline.generate({ ...watched, ...images, image: images.image as RgbImage })
    : pipeline.generate(watched);
}
