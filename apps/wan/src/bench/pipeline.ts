import { loadImage, type RgbImage } from "@wan-ts/media";
import {
  availableInstructionSets,
  type Device,
  Generator,
  instructionSet,
  setInstructionSet,
  type Tensor,
} from "@wan-ts/tensor";
import { openCheckpoint, type WanCheckpoint, WanImageToVideoPipeline } from "@wan-ts/wan";
import { readCheckpointDefaults } from "../generate/checkpoint-defaults.ts";
import { embeddedModel } from "../generate/embedded-model.ts";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkDistance } from "./check-close.ts";

/**
 * How far latents of one step may part, relative. Guidance of 4 makes four times as much of the
 * roundings, about 0.01 in bfloat16.
 */
const allowedDistance: Readonly<Record<BenchDType, number>> = { float32: 1e-5, bfloat16: 0.1 };

/** The embedded checkpoint from prompt and image to frames, weights loaded before. */
export const pipelineFamily: BenchmarkFamily = {
  name: "pipeline",
  cases: (["bfloat16", "float32"] as const).map(pipelineCase),
};

function pipelineCase(dtype: BenchDType): BenchmarkCase {
  return {
    case: "wan-tiny, 17 frames of 96 × 96, 12 steps",
    dtype,
    async prepare(device) {
      const defaults = await readCheckpointDefaults(embeddedModel);
      const image = await loadImage(defaults.image ?? "");
      const checkpoint = await openCheckpoint(embeddedModel);
      const pipeline = await load(checkpoint, dtype, device);
      const generate = (of: WanImageToVideoPipeline, steps: number, numFrames: number): Promise<Tensor> =>
        latentsOf(of, image, defaults.prompt ?? "", steps, numFrames);
      return {
        flops: undefined,
        run: () => generate(pipeline, 12, 17),
        // Independent of the kernels that are timed: a short run on the processor's portable ones.
        async check() {
          const used = instructionSet();
          using found = await generate(pipeline, 1, 5);
          using portable = device === "cpu" ? undefined : await load(checkpoint, dtype, "cpu");
          try {
            setInstructionSet(availableInstructionSets()[0] as string);
            using plain = await generate(portable ?? pipeline, 1, 5);
            checkDistance(
              await found.floats(),
              await plain.floats(),
              allowedDistance[dtype],
              "latents of one step",
            );
          } finally {
            setInstructionSet(used);
          }
        },
        [Symbol.dispose]: () => pipeline[Symbol.dispose](),
      };
    },
  };
}

function load(
  checkpoint: WanCheckpoint,
  dtype: BenchDType,
  device: Device,
): Promise<WanImageToVideoPipeline> {
  // Embeddings of a prompt are part of what is timed.
  return WanImageToVideoPipeline.fromCheckpoint(checkpoint, { dtype, device, promptCacheSize: 0 });
}

async function latentsOf(
  pipeline: WanImageToVideoPipeline,
  image: RgbImage,
  prompt: string,
  steps: number,
  numFrames: number,
): Promise<Tensor> {
  using result = await pipeline.generate({
    image,
    prompt,
    height: 96,
    width: 96,
    numFrames,
    numInferenceSteps: steps,
    guidanceScale: 4,
    generator: new Generator(42),
  });
  return result.latents.share();
}
