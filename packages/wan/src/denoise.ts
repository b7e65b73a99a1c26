import type { Scheduler } from "@wan-ts/schedulers";
import { allFinite, type Cancellation, keep, scope, type Tensor } from "@wan-ts/tensor";
import { NonFiniteError, PipelineInputError } from "./errors.ts";
import type { StepCallback, StepReplacements } from "./events.ts";
import { type Embeddings, ExpertAtWork } from "./expert-at-work.ts";
import { type Experts, expertAt } from "./experts.ts";
import { tensorArithmetic } from "./scheduler-arithmetic.ts";
import type { VideoCondition } from "./video-condition.ts";

/** What the denoising loop works on. It owns none of the tensors. */
export interface DenoiseInputs {
  readonly experts: Experts;
  readonly scheduler: Scheduler;
  readonly steps: number;
  /** (B, zDim, T, H, W) float32 noise. */
  readonly noise: Tensor;
  readonly condition: VideoCondition;
  readonly embeddings: Embeddings;
  readonly onStepEnd: StepCallback | undefined;
  readonly cancellation: Cancellation;
}

/**
 * Walks from noise to latents (B, zDim, T, H, W) float32, which the caller owns.
 *
 * Each step predicts the velocity with the expert for its timestep, and lets the scheduler take the
 * step. Timesteps fall, so an expert works once and is let go before the next begins.
 *
 * @throws {NonFiniteError} after the first step whose latents are not finite.
 * @throws {PipelineInputError} where the callback's tensors don't fit.
 */
export async function denoise(inputs: DenoiseInputs): Promise<Tensor> {
  const { cancellation, condition, steps } = inputs;
  using run = inputs.scheduler.start(steps, tensorArithmetic);
  // Tensors that a callback put in place belong to the loop.
  using owned = new DisposableStack();
  let { embeddings } = inputs;
  let stale = false;
  let worker: ExpertAtWork | undefined;
  let latents = inputs.noise.share();
  try {
    for (let step = 0; step < steps; step++) {
      const started = performance.now();
      const timestep = run.timesteps[step]!;
      const expert = expertAt(inputs.experts, timestep);
      if (worker?.expert !== expert) {
        worker?.[Symbol.dispose]();
        worker = undefined;
        worker = await ExpertAtWork.start(expert, embeddings, cancellation);
      } else if (stale) {
        worker.use(embeddings, cancellation);
      }
      stale = false;
      const working = worker;
      const next = cancellation.run(() =>
        scope(() => run.step(working.velocity(condition.input(latents, timestep)), latents)),
      );
      latents.dispose();
      latents = next;
      if (!(await allFinite(latents))) throw new NonFiniteError("latents", step + 1);

      const { promptEmbeds, negativePromptEmbeds } = embeddings;
      const replaced = await inputs.onStepEnd?.(
        {
          step: step + 1,
          steps,
          timestep,
          sigma: run.sigmas[step + 1]!,
          seconds: (performance.now() - started) / 1000,
        },
        { latents, promptEmbeds, negativePromptEmbeds },
      );
      if (!replaced) continue;
      checkReplacements(replaced, { latents, promptEmbeds, negativePromptEmbeds });
      if (replaced.latents && replaced.latents !== latents) {
        latents.dispose();
        latents = keep(replaced.latents);
      }
      if (replaced.promptEmbeds || replaced.negativePromptEmbeds) {
        embeddings = {
          ...embeddings,
          promptEmbeds: owned.use(replaced.promptEmbeds) ?? promptEmbeds,
          negativePromptEmbeds: owned.use(replaced.negativePromptEmbeds) ?? negativePromptEmbeds,
        };
        stale = true;
      }
    }
    return keep(scope(() => condition.finish(latents).to("float32")));
  } finally {
    latents.dispose();
    worker?.[Symbol.dispose]();
  }
}

/** The number of text tokens may change from step to step; everything else is fixed for the run. */
const textTokens = 1;

/**
 * Checks that what a callback returned fits in the place of `current`; disposes it where it doesn't.
 *
 * @throws {PipelineInputError}
 */
function checkReplacements(
  replaced: StepReplacements,
  current: Readonly<Record<keyof StepReplacements, Tensor | undefined>>,
): void {
  const names = ["latents", "promptEmbeds", "negativePromptEmbeds"] as const;
  const misfit = names.find((name) => {
    const [tensor, now] = [replaced[name], current[name]];
    return tensor && !(now && fits(tensor, now, name === "latents" ? undefined : textTokens));
  });
  if (misfit === undefined) return;
  const now = current[misfit];
  const error = new PipelineInputError(
    `${misfit} of callbackOnStepEnd`,
    now?.toString() ?? "left out, as there is no guidance",
    replaced[misfit]?.toString() ?? "",
  );
  for (const name of names) if (replaced[name] !== current[name]) replaced[name]?.dispose();
  throw error;
}

function fits(tensor: Tensor, current: Tensor, freeDim: number | undefined): boolean {
  return (
    tensor.dtype === current.dtype &&
    tensor.rank === current.rank &&
    tensor.shape.every((size, dim) => dim === freeDim || size === current.shape[dim])
  );
}
