import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  availableInstructionSets,
  instructionSet,
  memory,
  setInstructionSet,
  setThreads,
  synchronize,
  threads,
} from "@wan-ts/tensor";
import { type FixtureCase, fixtureCases, relativeDistance } from "./fixture-cases.ts";
import { generateFixture } from "./generate-fixture.ts";

const cases = fixtureCases();
const float32Case = cases.find(({ name }) => name === "image-to-video") as FixtureCase;
const bfloat16Case = cases.find(({ name }) => name === "image-to-video-bfloat16") as FixtureCase;

let before: { threads: number; instructionSet: string };
beforeEach(() => {
  before = { threads: threads(), instructionSet: instructionSet() };
});
afterEach(async () => {
  setThreads(before.threads);
  setInstructionSet(before.instructionSet);
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

/** Latents as stored and frames. */
async function outcome(
  fixture: FixtureCase,
  load = {},
): Promise<{ latents: Uint8Array; frames: Float32Array }> {
  using result = await generateFixture(fixture, {}, load);
  return { latents: await result.latents.rawBytes(), frames: result.frames.data as Float32Array };
}

const floats = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

describe("the same call gives the same bytes", () => {
  for (const fixture of [float32Case, bfloat16Case]) {
    test(`on 1, 2 and 3 threads, and twice (${fixture.params.dtype})`, async () => {
      setThreads(1);
      const first = await outcome(fixture);
      for (const count of [1, 2, 3]) {
        setThreads(count);
        const again = await outcome(fixture);
        expect(again.latents).toEqual(first.latents);
        expect(again.frames).toEqual(first.frames);
      }
    });
  }
});

describe("within 1e-5 in float32", () => {
  for (const set of availableInstructionSets()) {
    test(`${set} agrees with the widest instruction set`, async () => {
      const widest = await outcome(float32Case);
      setInstructionSet(set);
      const found = await outcome(float32Case);
      expect(relativeDistance(floats(found.latents), floats(widest.latents))).toBeLessThan(1e-5);
      expect(relativeDistance(found.frames, widest.frames)).toBeLessThan(1e-5);
    });
  }

  test("reference attention agrees with native attention", async () => {
    const native = await outcome(float32Case, { attentionBackend: "native" });
    const reference = await outcome(float32Case, {
      attentionBackend: { transformer: "reference", textEncoder: "reference", imageEncoder: "reference" },
    });
    expect(relativeDistance(floats(reference.latents), floats(native.latents))).toBeLessThan(1e-5);
    expect(relativeDistance(reference.frames, native.frames)).toBeLessThan(1e-5);
    expect(reference.latents).not.toEqual(native.latents);
  });
});
