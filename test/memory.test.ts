import { expect, test } from "bun:test";
import { memory, synchronize, Tensor } from "@wan-ts/tensor";
import { openCheckpoint, WanImageToVideoPipeline } from "@wan-ts/wan";
import { type FixtureCase, fixtureCases } from "./fixture-cases.ts";

const fixture = fixtureCases().find(({ name }) => name === "image-to-video") as FixtureCase;

/** Resident memory after the collector ran. */
function residentBytes(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}

test("1,000 forward passes hold on to nothing", async () => {
  const checkpoint = await openCheckpoint(fixture.model);
  {
    using pipeline = await WanImageToVideoPipeline.fromCheckpoint(checkpoint, { dtype: "float32" });
    const { transformer } = pipeline;
    using hiddenStates = Tensor.full([1, 36, 3, 4, 6], 0.5);
    using encoderHiddenStates = Tensor.full([1, 32, checkpoint.transformer.textDim], 0.1);
    using encoderHiddenStatesImage = Tensor.full([1, 17, checkpoint.transformer.imageDim as number], 0.2);
    using context = transformer.prepareContext({ encoderHiddenStates, encoderHiddenStatesImage });
    const forward = async (): Promise<void> => {
      using output = transformer.call({ hiddenStates, timestep: [500], context });
      await output.rawBytes();
    };
    for (let warmUp = 0; warmUp < 100; warmUp++) await forward();
    const storages = memory().liveStorages;
    const before = residentBytes();
    for (let pass = 0; pass < 1000; pass++) await forward();
    expect(memory().liveStorages).toBe(storages);
    // A leak of one activation a pass would be more than 30 MB; the allocator's own play is below this.
    expect(residentBytes() - before).toBeLessThan(16 << 20);
  }
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});
