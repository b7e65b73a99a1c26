import { afterEach, expect, test } from "bun:test";
import { join } from "node:path";
import { saveTensors } from "@wan-ts/hub";
import type { ModuleNode } from "@wan-ts/nn";
import { Int8Weight, int8, Nf4Weight, nf4, type QuantizationConfig } from "@wan-ts/quantization";
import { memory, synchronize, Tensor } from "@wan-ts/tensor";
import { CheckpointError } from "./errors.ts";
import { fixtureModel, fixtureOptions, ModelCopy } from "./testing/fixture-model.ts";
import { rejection } from "./testing/rejection.ts";
import { WanTextToVideoPipeline } from "./text-to-video.ts";

afterEach(async () => {
  await synchronize();
  expect(memory().liveStorages).toBe(0);
});

const name = "text-to-video-euler";
const model = fixtureModel(name);

function load(path: string, quantization?: QuantizationConfig): Promise<WanTextToVideoPipeline> {
  return WanTextToVideoPipeline.fromPretrained(path, { dtype: "bfloat16", quantization });
}

async function latentsOf(pipeline: WanTextToVideoPipeline): Promise<Float32Array> {
  using result = await pipeline.generate({ ...fixtureOptions(name), outputType: "latent" });
  return await result.latents.floats();
}

/** A model's tensors by the names that bitsandbytes stores them under; `made` owns those that it hasn't. */
function storedTensors(module: ModuleNode, made: DisposableStack): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const [parameter, { held }] of module.namedParameters()) {
    if (held instanceof Tensor) tensors[parameter] = held;
    else if (held instanceof Int8Weight) {
      tensors[parameter] = held.parts.codes;
      tensors[parameter.replace(/weight$/, "SCB")] = held.parts.absmax;
    } else if (held instanceof Nf4Weight) Object.assign(tensors, storedNf4(parameter, held, made));
  }
  return tensors;
}

function storedNf4(parameter: string, { parts }: Nf4Weight, made: DisposableStack): Record<string, Tensor> {
  const { shape, packed, scales, blockSize, originalDType } = parts;
  const nested = "codes" in scales ? scales : undefined;
  const state = {
    quant_type: "nf4",
    blocksize: blockSize,
    dtype: originalDType,
    shape,
    ...(nested && {
      nested_blocksize: nested.blockSize,
      nested_offset: nested.offset.floatsBlocking()[0],
    }),
  };
  const description = new TextEncoder().encode(JSON.stringify(state));
  return {
    [parameter]: packed,
    [`${parameter}.absmax`]: nested?.codes ?? (scales as Tensor),
    [`${parameter}.quant_map`]: made.use(Tensor.zeros([16])),
    ...(nested && {
      [`${parameter}.nested_absmax`]: nested.absmax,
      [`${parameter}.nested_quant_map`]: nested.table,
    }),
    [`${parameter}.quant_state.bitsandbytes__nf4`]: made.use(Tensor.from(description, [description.length])),
  };
}

/** A copy of the fixture with the transformer of `pipeline` as it is held there. */
async function storedCopy(
  pipeline: WanTextToVideoPipeline,
  config: Readonly<Record<string, unknown>>,
): Promise<ModelCopy> {
  const copy = await ModelCopy.of(name);
  using made = new DisposableStack();
  const tensors = storedTensors(pipeline.transformer, made);
  await saveTensors(join(copy.path, "transformer/diffusion_pytorch_model.safetensors"), tensors);
  const quantization = { quant_method: "bitsandbytes", bnb_4bit_compute_dtype: "bfloat16", ...config };
  await copy.change("transformer/config.json", { quantization_config: quantization });
  return copy;
}

const transformer = { components: ["transformer"] } as const;
const nf4Stored = { load_in_4bit: true, bnb_4bit_quant_type: "nf4" };

test.each<[string, QuantizationConfig, Readonly<Record<string, unknown>>]>([
  ["nf4", nf4(transformer), nf4Stored],
  [
    "nf4 with quantized scales",
    nf4({ ...transformer, doubleQuantization: true }),
    { ...nf4Stored, bnb_4bit_use_double_quant: true },
  ],
  ["int8", int8(transformer), { load_in_8bit: true }],
])("%s: a stored checkpoint gives the bytes of one quantized on load", async (_, quantization, config) => {
  using plain = await load(model);
  using onLoad = await load(model, quantization);
  const quantized = await latentsOf(onLoad);
  expect(quantized).not.toEqual(await latentsOf(plain));
  await using copy = await storedCopy(onLoad, config);
  using stored = await load(copy.path);
  expect(await latentsOf(stored)).toEqual(quantized);
  expect(stored.weightBytes.transformer?.quantized).toBe(onLoad.weightBytes.transformer?.quantized as number);
});

test("quantizes every linear layer but those that diffusers and transformers leave alone", async () => {
  using pipeline = await load(model, nf4({ skipModules: ["to_v", "blocks.0.attn1.to_q"] }));
  const plain = (module: ModuleNode): string[] =>
    [...module.namedParameters()].flatMap(([parameter, { quantized, options }]) =>
      options.quantizable && !quantized ? [parameter.replace(/\.weight$/, "")] : [],
    );
  expect(plain(pipeline.transformer).filter((layer) => !layer.endsWith("to_v"))).toEqual([
    "condition_embedder.time_embedder.linear_1",
    "condition_embedder.time_embedder.linear_2",
    "blocks.0.attn1.to_q",
  ]);
  expect(new Set(plain(pipeline.textEncoder).map((layer) => layer.split(".").at(-1)))).toEqual(
    new Set(["wo"]),
  );
});

test("holds what it is asked to in fewer bytes, and the rest as before", async () => {
  const bytes = async (quantization?: QuantizationConfig) => {
    using pipeline = await load(model, quantization);
    return pipeline.weightBytes;
  };
  const [plain, quantized] = [await bytes(), await bytes(nf4(transformer))];
  expect(quantized).toMatchObject({ textEncoder: plain.textEncoder, vae: plain.vae });
  const sum = (held = { quantized: 0, cast: 0, mapped: 0 }): number =>
    held.quantized + held.cast + held.mapped;
  expect(sum(quantized.transformer)).toBeLessThan(sum(plain.transformer));
  expect(plain.transformer?.quantized).toBe(0);
});

test("refuses to quantize what is stored quantized another way, and takes the same way", async () => {
  using onLoad = await load(model, int8(transformer));
  await using copy = await storedCopy(onLoad, { load_in_8bit: true });
  const error = await rejection(load(copy.path, nf4()));
  expect(error).toBeInstanceOf(CheckpointError);
  expect(String(error)).toEndWith(
    "/transformer: expected unquantized weights, to make nf4 weights, found int8 weights",
  );
  using same = await load(copy.path, int8());
  expect(same.weightBytes.transformer?.quantized).toBe(onLoad.weightBytes.transformer?.quantized as number);
  using other = await load(copy.path, nf4({ components: ["textEncoder"] }));
  expect(other.weightBytes.textEncoder?.quantized).toBeGreaterThan(0);
});
