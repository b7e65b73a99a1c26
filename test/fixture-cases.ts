import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openWeights } from "@wan-ts/hub";
import { loadImage, type RgbImage } from "@wan-ts/media";
import type { DType } from "@wan-ts/tensor";

const folder = join(import.meta.dir, "fixtures");

/** A call that diffusers answered: `params.json` of a folder that `scripts/fixtures/pipelines.py` wrote. */
export interface FixtureCase {
  readonly name: string;
  readonly model: string;
  readonly params: {
    readonly prompt: string;
    readonly negative_prompt: string;
    readonly height: number;
    readonly width: number;
    readonly num_frames: number;
    readonly num_inference_steps: number;
    readonly guidance_scale: number;
    readonly guidance_scale_2?: number;
    readonly seed: number;
    readonly dtype: DType;
    readonly image: boolean;
    readonly last_image?: boolean;
  };
  image(): Promise<RgbImage>;
  lastImage(): Promise<RgbImage>;
  /** Latents (B, C, T, H, W) and frames (F, H, W, 3) as diffusers made them. */
  expected(): Promise<{ latents: Float32Array; frames: Float32Array }>;
}

/** Every folder of test/fixtures. */
export function fixtureCases(): FixtureCase[] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => {
      const path = join(folder, name);
      return {
        name,
        model: join(path, "model"),
        params: JSON.parse(readFileSync(join(path, "params.json"), "utf8")) as FixtureCase["params"],
        image: () => loadImage(join(path, "image.png")),
        lastImage: () => loadImage(join(path, "last_image.png")),
        expected: async () => {
          const files = [join(path, "expected.safetensors")];
          using source = await openWeights({ folder: path, variant: undefined, files, index: undefined });
          using latents = source.tensor("latents");
          using frames = source.tensor("frames");
          return { latents: await latents.floats(), frames: await frames.floats() };
        },
      };
    });
}

/** ‖found − expected‖₂ / ‖expected‖₂. */
export function relativeDistance(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let norm = 0;
  for (let at = 0; at < expected.length; at++) {
    const [a, b] = [found[at] as number, expected[at] as number];
    difference += (a - b) ** 2;
    norm += b ** 2;
  }
  return Math.sqrt(difference / norm);
}
