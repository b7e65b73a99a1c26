import { expect, test } from "bun:test";
import type { WanTransformer } from "@wan-ts/models";
import { type Expert, type Experts, expertAt } from "./experts.ts";
import type { WeightedModel } from "./weighted-model.ts";

function expert(guidanceScale: number): Expert {
  return { model: {} as WeightedModel<WanTransformer>, guidanceScale };
}

function experts(boundaryRatio: number, numTrainTimesteps = 1000): Experts {
  return { highNoise: expert(4), lowNoise: { expert: expert(3), boundaryRatio }, numTrainTimesteps };
}

test("one expert denoises at every timestep", () => {
  const alone: Experts = { highNoise: expert(5), numTrainTimesteps: 1000 };
  for (const timestep of [1000, 500, 1]) expect(expertAt(alone, timestep)).toBe(alone.highNoise);
});

test("the high-noise expert denoises from the boundary up, the low-noise one below", () => {
  const both = experts(0.875);
  expect(expertAt(both, 999)).toBe(both.highNoise);
  expect(expertAt(both, 875)).toBe(both.highNoise);
  expect(expertAt(both, 874)).toBe(both.lowNoise!.expert);
});

test("the boundary is a share of the training timesteps", () => {
  const both = experts(0.5, 200);
  expect(expertAt(both, 100)).toBe(both.highNoise);
  expect(expertAt(both, 99)).toBe(both.lowNoise!.expert);
});

test("a boundary that float64 puts above a timestep counts as float32 has it", () => {
  expect(0.07 * 100).toBeGreaterThan(7);
  const both = experts(0.07, 100);
  expect(expertAt(both, 7)).toBe(both.highNoise);
});
