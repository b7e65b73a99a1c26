import { afterEach, describe, expect, test } from "bun:test";
import { memory, scope, synchronize, Tensor } from "@wan-ts/tensor";
import type { RunSizes } from "./check-options.ts";
import { channelCondition, firstFrameCondition, noCondition } from "./video-condition.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

function sizes(batch: number, latentFrames: number): RunSizes {
  return {
    prompts: batch,
    batch,
    height: 32,
    width: 64,
    numFrames: 4 * latentFrames - 3,
    latentFrames,
    latentHeight: 2,
    latentWidth: 4,
    steps: 1,
    guidanceScale: 1,
    guidanceScale2: 1,
    maxSequenceLength: 16,
  };
}

/** (B, 1, T, 2, 4) of the numbers from `from`. */
function counted(batch: number, frames: number, from: number): Tensor {
  const count = batch * frames * 8;
  return Tensor.from(
    Float32Array.from({ length: count }, (_, at) => from + at),
    [batch, 1, frames, 2, 4],
  );
}

test("text alone shows the latents as they are, one timestep for each sample", () => {
  scope(() => {
    const latents = counted(3, 2, 0);
    const input = noCondition.input(latents, 700);
    expect(input.hiddenStates).toBe(latents);
    expect(input.timestep).toEqual([700, 700, 700]);
    expect(noCondition.finish(latents).floatsBlocking()).toEqual(latents.floatsBlocking());
  });
});

test("mask and condition lie behind the latents' channels, the same for each sample", () => {
  scope(() => {
    using condition = channelCondition(counted(1, 2, 100));
    const { hiddenStates, timestep } = condition.input(counted(2, 2, 0), 300);
    expect(hiddenStates.shape).toEqual([2, 2, 2, 2, 4]);
    const second = hiddenStates.select(0, 1);
    expect(second.select(0, 0).floatsBlocking()[0]).toBe(16);
    expect(second.select(0, 1).floatsBlocking()[0]).toBe(100);
    expect(timestep).toEqual([300, 300]);
  });
});

describe("an image as the first latent frame", () => {
  test("takes that frame's place before each step and at the end", () => {
    scope(() => {
      using condition = firstFrameCondition(counted(1, 1, 100), sizes(2, 3), [1, 2, 2]);
      const latents = counted(2, 3, 0);
      for (const seen of [condition.input(latents, 500).hiddenStates, condition.finish(latents)]) {
        expect(seen.shape).toEqual(latents.shape);
        expect([...seen.select(0, 1).floatsBlocking().subarray(0, 9)]).toEqual([
          100, 101, 102, 103, 104, 105, 106, 107, 32,
        ]);
      }
    });
  });

  test("has its tokens at timestep 0, the others at the step's", () => {
    scope(() => {
      using condition = firstFrameCondition(counted(1, 1, 100), sizes(2, 3), [1, 2, 2]);
      const { timestep, timestepOfToken } = condition.input(counted(2, 3, 0), 500);
      expect(timestep).toEqual([0, 500]);
      expect(timestepOfToken?.shape).toEqual([2, 6]);
      expect([...(timestepOfToken?.dataBlocking() ?? [])]).toEqual([0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]);
    });
  });

  test("is the whole video where there is one latent frame", () => {
    scope(() => {
      using condition = firstFrameCondition(counted(1, 1, 100), sizes(2, 1), [1, 2, 2]);
      expect(
        condition
          .finish(counted(2, 1, 0))
          .select(0, 1)
          .floatsBlocking()[7],
      ).toBe(107);
    });
  });
});
