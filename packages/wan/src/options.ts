import type { RgbImage } from "@wan-ts/media";
import type { Generator, Tensor } from "@wan-ts/tensor";
import type { StageEvent, StepCallback } from "./events.ts";

/** What comes out of a pipeline, by diffusers' names. */
export type OutputType = "np" | "pil" | "pt" | "latent";

/** Options that every pipeline takes; names and defaults as diffusers has them. */
export interface GenerateOptions {
  /** What to show; or {@link GenerateOptions.promptEmbeds}. */
  readonly prompt?: string | readonly string[];
  /** What not to show; by default "". Only used with guidance. */
  readonly negativePrompt?: string | readonly string[];
  /** Pixels, a multiple of 16 (32 for Wan 2.2 TI2V); by default 480. */
  readonly height?: number;
  /** Pixels, a multiple of 16 (32 for Wan 2.2 TI2V); by default 832. */
  readonly width?: number;
  /** 4k + 1; by default 81. */
  readonly numFrames?: number;
  /** By default 50. */
  readonly numInferenceSteps?: number;
  /** By default 5; at 1 and below there is no guidance, and half the work. */
  readonly guidanceScale?: number;
  /**
   * Of the expert of low noise, where a checkpoint has one; by default `guidanceScale`, which also says
   * whether there is guidance.
   */
  readonly guidanceScale2?: number;
  /** By default 1. */
  readonly numVideosPerPrompt?: number;
  /** Random numbers; by default of a random seed. A list has one for each video. */
  readonly generator?: Generator | readonly Generator[];
  /** Noise to start from, (B, zDim, T, H, W) float32, instead of random numbers. */
  readonly latents?: Tensor;
  /** (prompts, tokens, textDim) instead of a prompt. */
  readonly promptEmbeds?: Tensor;
  /** (prompts, tokens, textDim) instead of a negative prompt. */
  readonly negativePromptEmbeds?: Tensor;
  /** `np`: float32 in [0, 1]; `pil`: bytes; `pt`: tensors; `latent`: before the VAE. By default `np`. */
  readonly outputType?: OutputType;
  /** Text tokens, by default 512. */
  readonly maxSequenceLength?: number;
  /** Called after each step; may replace latents and embeddings. */
  readonly callbackOnStepEnd?: StepCallback;
  /** Called when a stage begins. */
  readonly onStageStart?: (stage: StageEvent["stage"]) => void;
  /** Called when a stage ends. */
  readonly onStageEnd?: (event: StageEvent) => void;
  /** Cancels the run within a step; {@link generate} then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Options of image to video. */
export interface ImageToVideoOptions extends GenerateOptions {
  /** The first frame, of any size. */
  readonly image: RgbImage;
  /**
   * The last frame, of any size: needed by a checkpoint of first and last frame, taken by one that has
   * no image encoder (Wan 2.2 I2V), refused by others.
   */
  readonly lastImage?: RgbImage;
  /** (1, tokens, imageDim) instead of the image encoder's answer; (2, …) for first and last frame. */
  readonly imageEmbeds?: Tensor;
}
