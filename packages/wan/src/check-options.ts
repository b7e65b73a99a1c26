import { PipelineInputError } from "./errors.ts";
import type { GenerateOptions } from "./options.ts";

/** Sizes of a run, checked. */
export interface RunSizes {
  readonly prompts: number;
  /** Videos: as many of each prompt as were asked for. */
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly numFrames: number;
  readonly latentFrames: number;
  readonly latentHeight: number;
  readonly latentWidth: number;
  readonly steps: number;
  readonly guidanceScale: number;
  readonly guidanceScale2: number;
  readonly maxSequenceLength: number;
}

/** What the sizes of a run must fit. */
export interface SizeRules {
  /** Pixels of one latent pixel. */
  readonly spatialFactor: number;
  /** Frames of one latent frame. */
  readonly temporalFactor: number;
  /** Latent pixels of one token. */
  readonly patchSize: readonly [number, number, number];
  readonly latentChannels: number;
  readonly textDim: number;
  /** The longest extent in tokens that has a rotary position. */
  readonly ropeMaxSeqLen: number;
}

/**
 * Checks options that concern no particular pipeline and fills in defaults.
 *
 * @throws {PipelineInputError} with the nearest sizes that fit.
 */
export function checkOptions(options: GenerateOptions, rules: SizeRules): RunSizes {
  const height = multiple("height", options.height ?? 480, rules.spatialFactor * rules.patchSize[1]);
  const width = multiple("width", options.width ?? 832, rules.spatialFactor * rules.patchSize[2]);
  const numFrames = frames(options.numFrames ?? 81, rules.temporalFactor);
  const steps = whole("numInferenceSteps", options.numInferenceSteps ?? 50, 1, 1000);
  const perPrompt = whole("numVideosPerPrompt", options.numVideosPerPrompt ?? 1, 1, 1024);
  const maxSequenceLength = whole("maxSequenceLength", options.maxSequenceLength ?? 512, 1, 512);
  const guidanceScale = finite("guidanceScale", options.guidanceScale ?? 5);
  const latentFrames = (numFrames - 1) / rules.temporalFactor + 1;
  const promptCount = prompts(options, guidanceScale > 1);
  const sizes: RunSizes = {
    prompts: promptCount,
    batch: promptCount * perPrompt,
    height,
    width,
    numFrames,
    latentFrames,
    latentHeight: height / rules.spatialFactor,
    latentWidth: width / rules.spatialFactor,
    steps,
    guidanceScale,
    guidanceScale2: finite("guidanceScale2", options.guidanceScale2 ?? guidanceScale),
    maxSequenceLength,
  };
  positions("numFrames", latentFrames / rules.patchSize[0], rules.ropeMaxSeqLen);
  positions("height", sizes.latentHeight / rules.patchSize[1], rules.ropeMaxSeqLen);
  positions("width", sizes.latentWidth / rules.patchSize[2], rules.ropeMaxSeqLen);
  tensors(options, sizes, rules);
  return sizes;
}

function multiple(option: string, value: number, factor: number): number {
  if (Number.isInteger(value) && value > 0 && value % factor === 0) return value;
  const below = Math.max(factor, Math.floor(value / factor) * factor);
  const nearest = below + factor > value && value > below ? `${below} or ${below + factor}` : `${below}`;
  throw new PipelineInputError(option, `a multiple of ${factor}, such as ${nearest}`, `${value}`);
}

function frames(value: number, factor: number): number {
  if (Number.isInteger(value) && value > 0 && (value - 1) % factor === 0) return value;
  const below = Math.max(1, Math.floor((value - 1) / factor) * factor + 1);
  throw new PipelineInputError(
    "numFrames",
    `${factor}k + 1, such as ${below} or ${below + factor}`,
    `${value}`,
  );
}

function whole(option: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new PipelineInputError(option, `a whole number from ${low} to ${high}`, `${value}`);
}

function finite(option: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new PipelineInputError(option, "a finite number", `${value}`);
}

function positions(option: string, tokens: number, most: number): void {
  if (tokens <= most) return;
  throw new PipelineInputError(option, `at most ${most} tokens long for this checkpoint`, `${tokens} tokens`);
}

/** The number of prompts. */
function prompts(options: GenerateOptions, guided: boolean): number {
  const { prompt, promptEmbeds, negativePrompt, negativePromptEmbeds } = options;
  if ((prompt === undefined) === (promptEmbeds === undefined)) {
    const found = prompt === undefined ? "neither" : "both";
    throw new PipelineInputError("prompt", "given, or promptEmbeds, and not both", found);
  }
  if (negativePrompt !== undefined && negativePromptEmbeds !== undefined) {
    throw new PipelineInputError("negativePrompt", "given, or negativePromptEmbeds, and not both", "both");
  }
  const count = promptEmbeds ? promptEmbeds.size(0) : typeof prompt === "string" ? 1 : (prompt?.length ?? 0);
  if (count === 0) throw new PipelineInputError("prompt", "at least one prompt", "an empty list");
  if (
    guided &&
    negativePrompt !== undefined &&
    typeof negativePrompt !== "string" &&
    negativePrompt.length !== count
  ) {
    throw new PipelineInputError(
      "negativePrompt",
      `one, or one for each of ${count} prompts`,
      `${negativePrompt.length}`,
    );
  }
  return count;
}

function tensors(options: GenerateOptions, sizes: RunSizes, rules: SizeRules): void {
  const { latents, promptEmbeds, negativePromptEmbeds, generator } = options;
  const expect = (option: string, shape: readonly (number | "tokens")[], found: readonly number[]): void => {
    const fits = shape.every((size, dim) => (size === "tokens" ? found[dim]! > 0 : size === found[dim]));
    if (fits && shape.length === found.length) return;
    throw new PipelineInputError(option, `of shape [${shape.join(", ")}]`, `[${found.join(", ")}]`);
  };
  if (latents) {
    const { batch, latentFrames, latentHeight, latentWidth } = sizes;
    expect("latents", [batch, rules.latentChannels, latentFrames, latentHeight, latentWidth], latents.shape);
  }
  for (const [option, embeds] of Object.entries({ promptEmbeds, negativePromptEmbeds })) {
    if (!embeds) continue;
    expect(option, [sizes.prompts, "tokens", rules.textDim], embeds.shape);
  }
  if (Array.isArray(generator) && generator.length !== sizes.batch) {
    throw new PipelineInputError(
      "generator",
      `one, or one for each of ${sizes.batch} videos`,
      `${generator.length}`,
    );
  }
}
