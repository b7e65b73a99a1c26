import type { TransformerContext, WanTransformer } from "@wan-ts/models";
import type { Scheduler } from "@wan-ts/schedulers";
import {
  add,
  allFinite,
  type Cancellation,
  concatenate,
  keep,
  multiply,
  scope,
  subtract,
  type Tensor,
} from "@wan-ts/tensor";
import { NonFiniteError } from "./errors.ts";
import type { StepCallback } from "./events.ts";
import { tensorArithmetic } from "./scheduler-arithmetic.ts";

/** What the denoising loop works on. It owns none of the tensors. */
export interface DenoiseInputs {
  readonly transformer: WanTransformer;
  readonly scheduler: Scheduler;
  readonly steps: number;
  /** (B, 16, T, H, W) float32 noise. */
  readonly noise: Tensor;
  /** (1 or B, C, T, H, W) float32, appended to the latents' channels at each step. */
  readonly condition: Tensor | undefined;
  /** (B, S, textDim). */
  readonly promptEmbeds: Tensor;
  /** (B, S, textDim), where there is guidance. */
  readonly negativePromptEmbeds: Tensor | undefined;
  /** (B, tokens, imageDim). */
  readonly imageEmbeds: Tensor | undefined;
  readonly guidanceScale: number;
  readonly onStepEnd: StepCallback | undefined;
  readonly cancellation: Cancellation;
}

/** Text and image keys and values of both passes, made once a run. */
class Contexts implements Disposable {
  readonly conditional: TransformerContext;
  readonly unconditional: TransformerContext | undefined;

  constructor(inputs: DenoiseInputs, promptEmbeds: Tensor, negativePromptEmbeds: Tensor | undefined) {
    const { transformer, imageEmbeds } = inputs;
    const prepare = (encoderHiddenStates: Tensor): TransformerContext =>
      transformer.prepareContext({
        encoderHiddenStates,
        ...(imageEmbeds ? { encoderHiddenStatesImage: imageEmbeds } : {}),
      });
    this.conditional = prepare(promptEmbeds);
    this.unconditional = negativePromptEmbeds && prepare(negativePromptEmbeds);
  }

  [Symbol.dispose](): void {
    this.conditional[Symbol.dispose]();
    this.unconditional?.[Symbol.dispose]();
  }
}

/**
 * Walks from noise to latents (B, 16, T, H, W) float32, which the caller owns.
 *
 * Each step predicts the velocity with the prompt, and with the negative one where there is
 * guidance (Ho and Salimans 2022), and lets the scheduler take the step.
 *
 * @throws {NonFiniteError} after the first step whose latents are not finite.
 */
export async function denoise(inputs: DenoiseInputs): Promise<Tensor> {
  const { cancellation, steps } = inputs;
  using run = inputs.scheduler.start(steps, tensorArithmetic);
  // Tensors that a callback put in place belong to the loop.
  using owned = new DisposableStack();
  let promptEmbeds = inputs.promptEmbeds;
  let negativePromptEmbeds = inputs.negativePromptEmbeds;
  let contexts = cancellation.run(() => new Contexts(inputs, promptEmbeds, negativePromptEmbeds));
  let latents = inputs.noise.share();
  try {
    for (let step = 0; step < steps; step++) {
      const started = performance.now();
      const timestep = run.timesteps[step] as number;
      const next = cancellation.run(() =>
        scope(() => run.step(velocity(inputs, contexts, latents, timestep), latents)),
      );
      latents.dispose();
      latents = next;
      if (!(await allFinite(latents))) throw new NonFiniteError("latents", step + 1);

      const replaced = await inputs.onStepEnd?.(
        {
          step: step + 1,
          steps,
          timestep,
          sigma: run.sigmas[step + 1] as number,
          seconds: (performance.now() - started) / 1000,
        },
        { latents, promptEmbeds, negativePromptEmbeds },
      );
      if (!replaced) continue;
      if (replaced.latents && replaced.latents !== latents) {
        latents.dispose();
        latents = replaced.latents;
      }
      if (replaced.promptEmbeds || replaced.negativePromptEmbeds) {
        promptEmbeds = owned.use(replaced.promptEmbeds) ?? promptEmbeds;
        negativePromptEmbeds =
          negativePromptEmbeds && (owned.use(replaced.negativePromptEmbeds) ?? negativePromptEmbeds);
        contexts[Symbol.dispose]();
        contexts = cancellation.run(() => new Contexts(inputs, promptEmbeds, negativePromptEmbeds));
      }
    }
    return keep(latents);
  } catch (error) {
    latents.dispose();
    throw error;
  } finally {
    contexts[Symbol.dispose]();
  }
}

/** The velocity at one timestep, guided: uncond + scale · (cond − uncond), in the transformer's dtype. */
function velocity(inputs: DenoiseInputs, contexts: Contexts, latents: Tensor, timestep: number): Tensor {
  const { transformer, guidanceScale } = inputs;
  const batch = latents.size(0);
  const hiddenStates = withCondition(latents, inputs.condition).to(transformer.dtype);
  const timesteps = Array.from({ length: batch }, () => timestep);
  const conditional = transformer.call({ hiddenStates, timestep: timesteps, context: contexts.conditional });
  if (!contexts.unconditional) return conditional;
  const unconditional = transformer.call({
    hiddenStates,
    timestep: timesteps,
    context: contexts.unconditional,
  });
  return add(unconditional, multiply(subtract(conditional, unconditional), guidanceScale));
}

function withCondition(latents: Tensor, condition: Tensor | undefined): Tensor {
  if (!condition) return latents;
  const whole = condition.expand([latents.size(0), ...condition.shape.slice(1)]);
  return concatenate([latents, whole], 1);
}
