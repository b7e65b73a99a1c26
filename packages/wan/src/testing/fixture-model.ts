import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadImage } from "@wan-ts/media";
import { Generator } from "@wan-ts/tensor";
import type { GenerateOptions, ImageToVideoOptions } from "../options.ts";

const fixtures = join(import.meta.dir, "../../../../test/fixtures");

/** A small pipeline with random weights that `scripts/fixtures/pipelines.py` wrote. */
export type FixtureName =
  | "first-last-frame"
  | "image-to-video"
  | "text-to-video-euler"
  | "text-to-video-unguided"
  | "ti2v-image-to-video"
  | "ti2v-text-to-video"
  | "wan22-first-last-frame"
  | "wan22-image-to-video"
  | "wan22-text-to-video";

/** Its model directory. */
export function fixtureModel(name: FixtureName): string {
  return join(fixtures, name, "model");
}

interface Params {
  readonly prompt: string;
  readonly negative_prompt: string;
  readonly height: number;
  readonly width: number;
  readonly num_frames: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
  readonly seed: number;
}

/** The call that was made of it: text, sizes and seed. */
export function fixtureOptions(name: FixtureName): GenerateOptions {
  const params = JSON.parse(readFileSync(join(fixtures, name, "params.json"), "utf8")) as Params;
  return {
    prompt: params.prompt,
    negativePrompt: params.negative_prompt,
    height: params.height,
    width: params.width,
    numFrames: params.num_frames,
    numInferenceSteps: params.num_inference_steps,
    guidanceScale: params.guidance_scale,
    maxSequenceLength: 64,
    generator: new Generator(params.seed),
  };
}

/** {@link fixtureOptions} with the first frame, and the last where there is one. */
export async function fixtureImageOptions(name: FixtureName): Promise<ImageToVideoOptions> {
  const options = { ...fixtureOptions(name), image: await loadImage(join(fixtures, name, "image.png")) };
  if (!name.endsWith("last-frame")) return options;
  return { ...options, lastImage: await loadImage(join(fixtures, name, "last_image.png")) };
}

/** A copy of a fixture's model that a test may damage; removed when it is disposed. */
export class ModelCopy implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async of(name: FixtureName): Promise<ModelCopy> {
    const path = await mkdtemp(join(tmpdir(), "wan-ts-wan-"));
    await cp(fixtureModel(name), path, { recursive: true });
    return new ModelCopy(path);
  }

  /** Sets keys of a JSON file; `undefined` removes one. */
  async change(file: string, changes: Readonly<Record<string, unknown>>): Promise<void> {
    const path = join(this.path, file);
    const json = JSON.parse(await Bun.file(path).text()) as Record<string, unknown>;
    await Bun.write(path, JSON.stringify({ ...json, ...changes }));
  }

  /** Makes the values of a float32 tensor of a safetensors file NaN. */
  async spoil(file: string, tensor: string): Promise<void> {
    const path = join(this.path, file);
    const bytes = new Uint8Array(await Bun.file(path).arrayBuffer());
    const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start))) as Record<
      string,
      { data_offsets: [number, number] }
    >;
    const [from, to] = header[tensor]!.data_offsets;
    bytes.fill(0xff, start + from, start + to);
    await Bun.write(path, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
