import type { Tensor } from "@wan-ts/tensor";

/** The stages of a run, in order; a pipeline leaves out those it has no use for. */
export type Stage = "encodePrompt" | "encodeImage" | "encodeCondition" | "denoise" | "decode";

/** A stage that ended. */
export interface StageEvent {
  readonly stage: Stage;
  readonly seconds: number;
  /** The most tensor bytes held at once during the stage; mapped weights don't count. */
  readonly peakBytes: number;
  /** The most tensor bytes held at once on CUDA devices during the stage. */
  readonly peakDeviceBytes: number;
}

/** A denoising step that ended. */
export interface StepEvent {
  /** From 1. */
  readonly step: number;
  readonly steps: number;
  readonly timestep: number;
  /** Share of noise left after the step. */
  readonly sigma: number;
  readonly seconds: number;
}

/** What a callback at the end of a step may look at. It owns none of it. */
export interface StepTensors {
  /** (B, zDim, T, H, W): float32, or with flow-match Euler the transformer's dtype. */
  readonly latents: Tensor;
  /** (B, tokens, textDim). */
  readonly promptEmbeds: Tensor;
  /** (B, tokens, textDim), where there is guidance. */
  readonly negativePromptEmbeds: Tensor | undefined;
}

/** Tensors that take the place of those of the loop from the next step on; the loop owns them then. */
export type StepReplacements = { -readonly [K in keyof StepTensors]?: Tensor };

/** Called after each step; what it returns replaces tensors of the loop. */
export type StepCallback = (
  event: StepEvent,
  tensors: StepTensors,
  // biome-ignore lint/suspicious/noConfusingVoidType: a callback that only looks returns nothing
) => StepReplacements | void | Promise<StepReplacements | void>;
