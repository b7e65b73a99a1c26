import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { memory, synchronize, Tensor } from "@wan-ts/tensor";
import { checkGenerateOptions } from "./check-generate-options.ts";
import { decodeLatents } from "./decode-latents.ts";
import { NonFiniteError } from "./errors.ts";
import { openCheckpoint, WanTextToVideoPipeline } from "./index.ts";

const model = join(import.meta.dir, "../../../test/fixtures/text-to-video-unguided/model");

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

for (const outputType of ["np", "pil", "pt"] as const) {
  test(`frames that aren't finite are refused as ${outputType}, and freed`, async () => {
    const checkpoint = await openCheckpoint(model);
    using pipeline = await WanTextToVideoPipeline.fromCheckpoint(checkpoint, { dtype: "float32" });
    const sizes = checkGenerateOptions(checkpoint, { prompt: "", height: 16, width: 16, numFrames: 5 });
    using latents = Tensor.full([1, 16, 2, 2, 2], Number.NaN);
    const failure = await decodeLatents(pipeline.vae, latents, sizes, outputType, undefined).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(NonFiniteError);
  });
}
