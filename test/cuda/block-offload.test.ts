import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { loadImage } from "@wan-ts/media";
import { Module, type ModuleNode } from "@wan-ts/nn";
import { type DType, Generator, memory, synchronize, Tensor } from "@wan-ts/tensor";
import {
  describeMachine,
  type LoadOptions,
  nf4,
  openCheckpoint,
  PipelineInputError,
  planRun,
  WanImageToVideoPipeline,
  WanTextToVideoPipeline,
} from "@wan-ts/wan";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { isShortRun, testDevice } from "./test-device.ts";

const device = testDevice();
const tiny = join(import.meta.dir, "../../models/wan-tiny");
/** Two experts. */
const experts = join(import.meta.dir, "../fixtures/wan22-text-to-video/model");
expectNothingLeft();

/** A video as small as the models allow. */
const size = { height: 16, width: 16, numFrames: 1, maxSequenceLength: 32, outputType: "latent" } as const;

async function pipelineOf(dtype: DType, load: LoadOptions): Promise<WanImageToVideoPipeline> {
  return await WanImageToVideoPipeline.fromPretrained(tiny, { dtype, device, promptCacheSize: 0, ...load });
}

async function callOf() {
  return {
    ...size,
    image: await loadImage(join(tiny, "sample.png")),
    prompt: "a red ball moves right",
    numInferenceSteps: 1,
    guidanceScale: 1,
  };
}

/** A run of one step; its latents, and the most bytes of the device while it denoised. */
async function run(pipeline: WanImageToVideoPipeline) {
  let peakDeviceBytes = 0;
  using result = await pipeline.generate({
    ...(await callOf()),
    generator: new Generator(42),
    onStageEnd: (ended) => {
      if (ended.stage === "denoise") peakDeviceBytes = ended.peakDeviceBytes;
    },
  });
  return { latents: await result.latents.floats(), peakDeviceBytes };
}

/** What {@link run} tells of the device, told before. */
async function plannedBytes(dtype: DType, load: LoadOptions): Promise<number | undefined> {
  const options = { load: { dtype, device, ...load }, generate: await callOf() };
  const plan = await planRun(await openCheckpoint(tiny), options, await describeMachine());
  return plan.stages.find(({ stage }) => stage === "denoise")?.peakDeviceBytes;
}

function hooksOf(module: ModuleNode): string[] {
  return [...module.namedModules()].flatMap(([, node]) => (node instanceof Module ? node.hooks.names : []));
}

describe.skipIf(device === "cpu")(`offloading by block on ${device}`, () => {
  const cases: readonly (readonly [string, DType, LoadOptions])[] = [
    // Stored in bfloat16, so that blocks are cast where they compute.
    ["float32", "float32", {}],
    ["bfloat16", "bfloat16", {}],
    ["4 bits", "bfloat16", { quantization: nf4({ doubleQuantization: true }) }],
  ];
  test.each(isShortRun() ? cases.slice(0, 1).concat(cases.slice(2)) : cases)(
    "makes the same bytes in %s with less of the device, run after run",
    async (_, dtype, load) => {
      using whole = await pipelineOf(dtype, load);
      const expected = await run(whole);
      whole[Symbol.dispose]();
      using byPart = await pipelineOf(dtype, { ...load, cpuOffload: true });
      const part = await run(byPart);
      using pipeline = await pipelineOf(dtype, { ...load, cpuOffload: "block" });
      const planned = (await plannedBytes(dtype, { ...load, cpuOffload: "block" })) ?? 0;
      for (let round = 0; round < 2; round++) {
        const found = await run(pipeline);
        expect(found.latents).toEqual(expected.latents);
        expect(found.peakDeviceBytes).toBeLessThan(part.peakDeviceBytes);
        expect(found.peakDeviceBytes).toBeWithin(0.9 * planned, 1.1 * planned);
        await synchronize();
        expect(memory().liveDeviceBytes).toBe(0);
      }
    },
  );

  test("goes with the pipeline, and leaves its models without hooks", async () => {
    const pipeline = await pipelineOf("float32", { cpuOffload: "block" });
    const { transformer, textEncoder } = pipeline;
    expect(new Set([...hooksOf(transformer), ...hooksOf(textEncoder)])).toEqual(new Set(["offload"]));
    pipeline[Symbol.dispose]();
    expect([...hooksOf(transformer), ...hooksOf(textEncoder)]).toEqual([]);
  });

  test("takes experts in turn, and is whole again after an abort", async () => {
    const latentsOf = async (cpuOffload: boolean | "block"): Promise<Float32Array> => {
      using pipeline = await WanTextToVideoPipeline.fromPretrained(experts, {
        dtype: "float32",
        device,
        cpuOffload,
        promptCacheSize: 0,
      });
      const call = { ...size, prompt: "a red ball", numInferenceSteps: 2, guidanceScale: 2 };
      if (cpuOffload === "block") {
        const stop = new AbortController();
        // In the middle of a pass: the second block is on its way.
        const remove = pipeline.transformer2!.blocks.items[0]!.hooks.add({
          name: "stop",
          after: () => stop.abort(new Error("enough")),
        });
        const cut = pipeline.generate({ ...call, generator: new Generator(7), signal: stop.signal });
        expect(await cut.then(String, String)).toContain("enough");
        remove();
        await synchronize();
        expect(memory().liveDeviceBytes).toBe(0);
      }
      using result = await pipeline.generate({ ...call, generator: new Generator(7) });
      return await result.latents.floats();
    };
    const expected = await latentsOf(false);
    expect(await latentsOf("block")).toEqual(expected);
  });
});

describe("copies beside what the device computes", () => {
  test("have their values wherever they are read, however many are under way", async () => {
    const here = Array.from({ length: 20 }, (_, index) => Tensor.full([1000 + index], index));
    const there = here.map((tensor) => tensor.toDevice(device, { ahead: true }));
    for (const tensor of here) tensor.dispose();
    for (const [index, tensor] of there.toReversed().entries()) {
      const values = await tensor.floats();
      expect(values.length).toBe(1019 - index);
      expect(new Set(values)).toEqual(new Set([19 - index]));
      tensor.dispose();
    }
  });
});

test("offloading by block is refused on the processor", async () => {
  const refused = WanImageToVideoPipeline.fromPretrained(tiny, { device: "cpu", cpuOffload: "block" });
  const error: unknown = await refused.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(PipelineInputError.isInstance(error) && error.message).toBe(
    'cpuOffload must be true or false on the processor, whose memory is where weights are held anyway, but is "block"',
  );
});
