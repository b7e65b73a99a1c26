import { Generator } from "@wan-ts/tensor";
import {
  type GenerateOptions,
  type GenerateResult,
  type LoadOptions,
  openCheckpoint,
  WanImageToVideoPipeline,
  WanTextToVideoPipeline,
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
    generator: new Generator(params.seed),
    ...changes,
  };
  if (checkpoint.task === "imageToVideo") {
    using pipeline = await WanImageToVideoPipeline.fromCheckpoint(checkpoint, {
      dtype: params.dtype,
      ...load,
    });
    return await pipeline.generate({ ...options, image: await fixture.image() });
  }
  using pipeline = await WanTextToVideoPipeline.fromCheckpoint(checkpoint, { dtype: params.dtype, ...load });
  return await pipeline.generate(options);
}
