import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AttentionDispatcher, type AttentionRequest, UnsupportedAttentionError } from "@wan-ts/attention";
import { describeConformance } from "@wan-ts/attention/conformance/bun-test";
import { CudnnAttentionBackend } from "@wan-ts/attention-native";
import { loadImage } from "@wan-ts/media";
import { type Device, Generator } from "@wan-ts/tensor";
import { relativeDistance } from "@wan-ts/test/fixture-cases.ts";
import { defaultAttentionRegistry, WanImageToVideoPipeline } from "@wan-ts/wan";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { missingCudnn } from "./missing-cudnn.ts";
import { isShortRun, testDevice } from "./test-device.ts";
import { modelTolerance } from "./tolerances.ts";

const device = testDevice();
const backend = new CudnnAttentionBackend();
/** What Wan's transformers ask for. */
const request: AttentionRequest = { device, dtype: "bfloat16", headDim: 128, mask: false, logSumExp: true };
const missing = missingCudnn(backend);
expectNothingLeft();

if (missing !== undefined) test.skip(`conformance of cudnn: ${missing}`, () => {});
else describeConformance(backend, { device });

test("cudnn is never chosen by itself", () => {
  const attention = new AttentionDispatcher(defaultAttentionRegistry(), [request]);
  expect(attention.backend.name).toBe("cuda");
});

async function latentsOf(where: Device, attentionBackend?: string): Promise<Float32Array> {
  const model = join(import.meta.dir, "../../models/wan-tiny");
  const load = { dtype: "bfloat16", device: where, attentionBackend } as const;
  using pipeline = await WanImageToVideoPipeline.fromPretrained(model, load);
  if (attentionBackend !== undefined) expect(pipeline.transformer.attentionBackend).toBe(attentionBackend);
  const size = isShortRun()
    ? { height: 16, width: 16, numFrames: 1, numInferenceSteps: 1, maxSequenceLength: 32 }
    : { height: 96, width: 96, numFrames: 17, numInferenceSteps: 12, maxSequenceLength: 512 };
  using result = await pipeline.generate({
    ...size,
    image: await loadImage(join(model, "sample.png")),
    prompt: "a red ball moves right",
    guidanceScale: isShortRun() ? 1 : 4,
    generator: new Generator(42),
    outputType: "latent",
  });
  return await result.latents.floats();
}

describe.skipIf(missing !== undefined)(`cudnn on ${device}`, () => {
  test("is refused where rows must not know each other", () => {
    const attention = new AttentionDispatcher(defaultAttentionRegistry(), [request], "cudnn");
    expect(() => attention.require({ rowInvariant: true })).toThrow(UnsupportedAttentionError);
    expect(attention.backend.name).toBe("cudnn");
  });

  test("makes the processor's video of wan-tiny", async () => {
    const found = await latentsOf(device, "cudnn");
    expect(relativeDistance(found, await latentsOf("cpu"))).toBeLessThan(modelTolerance.bfloat16 ?? 0);
  });
});
