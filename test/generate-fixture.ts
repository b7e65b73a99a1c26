import { Generator } from "@wan-ts/tensor";
import {
  type GenerateOptions,
  type GenerateResult,
  type LoadOptions,
  loadPipeline,
  openCheckpoint,
} from "@wan-ts/wan";
import type { FixtureCase } from "./fixture-cases.ts";

/** Runs a fixture's call; `changes` and `load` differ from what diffusers was told. */
export async function generateFixture(
  fixture: FixtureCase,
  changes: Partial<GenerateOptions> = {},
  load: LoadOptions = {},
): Promise<GenerateResult> {
  const { params } = fixture;
  const checkpoint = await openCheckpoint(fixture.model);
  const options: GenerateOptions = {
    prompt: params.prompt,
    negativePrompt: params.negative_prompt,
    height: params.height,
    width: params.width,
    numFrames: params.num_frames,
    numInferenceSteps: params.num_inference_steps,
    guidanceScale: params.guidance_scale,
    ...(params.guidance_scale_2 === undefined ? {} : { guidanceScale2: params.guidance_scale_2 }),
    generator: new Generator(params.seed),
    ...changes,
  };
  using pipeline = await loadPipeline(checkpoint, { dtype: params.dtype, ...load });
  if (pipeline.task === "textToVideo") return await pipeline.generate(options);
  return await pipeline.generate({
    ...options,
    image: await fixture.image(),
    ...(params.last_image ? { lastImage: await fixture.lastImage() } : {}),
  });
}
