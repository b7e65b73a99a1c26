import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadImage } from "@wan-ts/media";
import { type Device, type DType, Generator } from "@wan-ts/tensor";
import { relativeDistance } from "@wan-ts/test/fixture-cases.ts";
import { type LoadOptions, nf4, WanImageToVideoPipeline } from "@wan-ts/wan";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { isShortRun, testDevice } from "./test-device.ts";
import { modelTolerance } from "./tolerances.ts";

const device = testDevice();
const model = join(import.meta.dir, "../../models/wan-tiny");
expectNothingLeft();

/** A video as small as the models allow, or the size that the checkpoint was trained for. */
const size = isShortRun()
  ? { height: 16, width: 16, numFrames: 1, numInferenceSteps: 1 }
  : { height: 96, width: 96, numFrames: 17, numInferenceSteps: 12 };

/** Latents and frames of one run. */
async function run(where: Device, dtype: DType, load: LoadOptions = {}) {
  using pipeline = await WanImageToVideoPipeline.fromPretrained(model, { dtype, device: where, ...load });
  const peakDeviceBytes: Record<string, number> = {};
  using result = await pipeline.generate({
    image: await loadImage(join(model, "sample.png")),
    prompt: "a red ball moves right",
    ...size,
    guidanceScale: isShortRun() ? 1 : 4,
    maxSequenceLength: isShortRun() ? 32 : 512,
    generator: new Generator(42),
    onStageEnd: (ended) => {
      peakDeviceBytes[ended.stage] = ended.peakDeviceBytes;
    },
  });

  return {
    latents: await result.latents.floats(),
    frames: result.frames.data.slice(),
    attention: pipeline.transformer.attentionBackend,
    peakDeviceBytes,
  };
}

describe(`wan-tiny on ${device}`, () => {
  test.each(["float32", "bfloat16"] as const)("makes the processor's video in %s", async (dtype) => {
    const expected = await run("cpu", dtype);
    const found = await run(device, dtype);
    // At full size two of the processor's instruction sets part by 1.2e-6 and 0.022.
    const limit = modelTolerance[dtype] ?? 0;
    expect(relativeDistance(found.latents, expected.latents)).toBeLessThan(limit);
    expect(relativeDistance(found.frames, expected.frames)).toBeLessThan(limit);
    expect(found.attention).toBe("cuda");
    for (const bytes of Object.values(found.peakDeviceBytes)) expect(bytes).toBeGreaterThan(0);
  });

  test("makes the same bytes again, and with weights that come and go, which take less", async () => {
    const first = await run(device, "bfloat16");
    const again = await run(device, "bfloat16");
    expect(again.latents).toEqual(first.latents);
    const offloaded = await run(device, "bfloat16", { cpuOffload: true });
    expect(offloaded.latents).toEqual(first.latents);
    expect(greatest(offloaded.peakDeviceBytes)).toBeLessThan(greatest(first.peakDeviceBytes));
  });

  test("runs weights in 4 bits near the processor's, in less memory", async () => {
    const load = { quantization: nf4({ components: ["transformer"] }) };
    const expected = await run("cpu", "float32", load);
    const found = await run(device, "float32", load);
    expect(relativeDistance(found.latents, expected.latents)).toBeLessThan(modelTolerance.float32 ?? 0);
    const whole = await run(device, "float32");
    expect(found.peakDeviceBytes.denoise).toBeLessThan(whole.peakDeviceBytes.denoise ?? 0);
  });
});

function greatest(bytes: Readonly<Record<string, number>>): number {
  return Math.max(...Object.values(bytes));
}
