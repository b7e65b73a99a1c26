/** The encoders that the tests of features over ranks compute, on one process and on each of several ranks. */

import { fileURLToPath } from "node:url";
import { AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import { NativeAttentionBackend } from "@wan-ts/attention-native";
import { openWeights } from "@wan-ts/hub";
import {
  ClipVisionEncoder,
  clipVisionFeaturePlan,
  clipVisionLoadOptions,
  parseClipVisionConfig,
  parseUmt5Config,
  Umt5Encoder,
  umt5FeaturePlan,
  umt5LoadOptions,
} from "@wan-ts/models";
import { type FeaturePlan, loadParameters, type ModuleNode, type TensorSource } from "@wan-ts/nn";
import { type QuantizationConfig, quantizationOnLoad } from "@wan-ts/quantization";
import { type DType, dtypeSize, Generator, scope, Tensor } from "@wan-ts/tensor";

/** An encoder, at first without weights, and what it is given. */
export interface EncoderCase {
  readonly name: string;
  readonly dtype: DType;
  readonly module: ModuleNode;
  readonly plan: FeaturePlan;
  /** Reads the weights. */
  readonly load: () => void;
  /** The states of each input. */
  readonly encode: () => Tensor[];
  /** Rows of features that each input makes. */
  readonly rows: readonly number[];
  /** Bytes of a feature that goes into, or comes from, a module. */
  readonly featureBytes: (module: string) => number;
}

const dispatcher = (): AttentionDispatcher =>
  new AttentionDispatcher(new AttentionRegistry([new NativeAttentionBackend()]), []);

/** Normal numbers, the same in every process. */
function normal(seed: number, shape: readonly number[], scale = 1): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(
    new Generator(seed).randn(count).map((value) => scale * value),
    shape,
  );
}

/** Config and float32 weights of a fixture of `packages/models`, which are read in place. */
async function openFixture(
  name: string,
  resources: DisposableStack,
): Promise<{ config: unknown; weights: TensorSource }> {
  const path = fileURLToPath(new URL(`../../packages/models/fixtures/${name}.safetensors`, import.meta.url));
  const file = Bun.file(path);
  const headerBytes = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  const { __metadata__: metadata } = JSON.parse(await file.slice(8, 8 + headerBytes).text());
  const source = resources.use(
    await openWeights({ folder: name, variant: undefined, files: [path], index: undefined }),
  );
  const prefix = "weights/";
  const names = [...source.names()].filter((stored) => stored.startsWith(prefix));
  return {
    config: JSON.parse(metadata.fixture).config,
    weights: {
      description: name,
      names: () => names.map((stored) => stored.slice(prefix.length)),
      entry: (stored) => source.entry(prefix + stored),
      tensor: (stored) => source.tensor(prefix + stored),
      bytes: (stored) => source.bytes(prefix + stored),
    },
  };
}

/** Weights that keep states of order 1. */
function randomWeights(module: ModuleNode): TensorSource {
  const parameters = new Map([...module.namedParameters()].map(([name, { shape }]) => [name, shape]));
  const seeds = new Map([...parameters.keys()].map((name, index) => [name, index + 1]));
  return {
    description: "random weights",
    names: () => parameters.keys(),
    entry: (name) => {
      const shape = parameters.get(name);
      return shape && { dtype: "float32", shape };
    },
    tensor: (name) => {
      const shape = parameters.get(name)!;
      return normal(seeds.get(name)!, shape, shape.length > 1 ? 1 / Math.sqrt(shape.at(-1)!) : 1);
    },
    bytes: () => new Uint8Array(),
  };
}

const vocabulary = 50;
/** Prompt, negative prompt, both with the second one's rest padded. */
const prompts = [
  { batch: 1, tokens: [17] },
  { batch: 1, tokens: [5] },
  { batch: 2, tokens: [17, 6] },
] as const;

function umt5Case(
  name: string,
  config: unknown,
  dtype: DType,
  settings: { readonly weights?: TensorSource; readonly quantization?: QuantizationConfig } = {},
): EncoderCase {
  const parsed = parseUmt5Config(config, "config.json");
  const module = new Umt5Encoder(parsed, dispatcher());
  const weights = settings.weights ?? randomWeights(module);
  const quantization = settings.quantization && quantizationOnLoad(settings.quantization);
  return {
    name: `${name} in ${dtype}`,
    dtype,
    module,
    plan: umt5FeaturePlan(parsed),
    load: () => loadParameters(module, weights, umt5LoadOptions(dtype, quantization)),
    encode: () =>
      scope(() =>
        prompts.map(({ batch, tokens }) => {
          const length = tokens[0];
          const count = batch * length;
          const ids = Int32Array.from({ length: count }, (_, place) => (place * 7 + length) % vocabulary);
          const mask = tokens.flatMap((own) => Array.from({ length }, (_, place) => (place < own ? 1 : 0)));
          return module.call({
            inputIds: Tensor.from(ids, [batch, length]),
            attentionMask: Tensor.from(mask, [batch, length], "int32"),
          });
        }),
      ),
    rows: prompts.map(({ batch, tokens }) => batch * tokens[0]),
    // `wo` stays in float32 in a float16 model, and what goes into it is widened first.
    featureBytes: (part) => (dtype === "float16" && part.endsWith(".wo") ? 4 : dtypeSize(dtype)),
  };
}

function clipCase(name: string, config: unknown, dtype: DType, weights: TensorSource): EncoderCase {
  const parsed = parseClipVisionConfig(config, "config.json");
  const module = new ClipVisionEncoder(parsed, dispatcher());
  const { imageSize, patchSize } = parsed;
  return {
    name: `${name} in ${dtype}`,
    dtype,
    module,
    plan: clipVisionFeaturePlan(parsed),
    load: () => loadParameters(module, weights, clipVisionLoadOptions(module, dtype)),
    encode: () =>
      scope(() => [module.call({ pixelValues: normal(1, [2, 3, imageSize, imageSize]).to(dtype) })]),
    rows: [2 * (1 + Math.floor(imageSize / patchSize) ** 2)],
    featureBytes: () => dtypeSize(dtype),
  };
}

/** Products of several blocks of the depth and panels of columns, cut where panels aren't; 5 heads. */
const wide = {
  model_type: "umt5",
  vocab_size: vocabulary,
  d_model: 328,
  d_kv: 40,
  d_ff: 618,
  num_layers: 1,
  num_heads: 5,
  relative_attention_num_buckets: 8,
  relative_attention_max_distance: 9,
};

/** Rows of whole 16s, but not of whole blocks: as bitsandbytes restores 4-bit codes on a CPU, scales aren't their own. */
const misplaced = { ...wide, d_model: 336 };

/** Rows of whole blocks of 4-bit codes, as published models have. */
const blocks = { ...wide, d_model: 256, num_heads: 8, d_kv: 32, d_ff: 320 };

/** Every case, all with models of their own, which `resources` disposes with the files. */
export async function encoderCases(resources: DisposableStack): Promise<EncoderCase[]> {
  const umt5 = await openFixture("umt5", resources);
  const clip = await openFixture("clip-vision", resources);
  const nf4: QuantizationConfig = { kind: "nf4" };
  const nested: QuantizationConfig = { kind: "nf4", doubleQuantization: true };
  const cases = [
    ...(["float32", "bfloat16", "float16"] as const).map((dtype) =>
      umt5Case("UMT5 of 3 heads", umt5.config, dtype, { weights: umt5.weights }),
    ),
    ...(["float32", "bfloat16"] as const).flatMap((dtype) => [
      umt5Case("UMT5 of 5 heads", wide, dtype),
      clipCase("CLIP of 2 heads", clip.config, dtype, clip.weights),
    ]),
    umt5Case("UMT5 in int8", wide, "bfloat16", { quantization: { kind: "int8" } }),
    umt5Case("UMT5 in nf4", blocks, "bfloat16", { quantization: nf4 }),
    umt5Case("UMT5 in nf4 with nested scales", blocks, "float32", { quantization: nested }),
    umt5Case("UMT5 in nf4 with misplaced scales", misplaced, "bfloat16", { quantization: nf4 }),
  ];
  for (const { module } of cases) resources.use(module);
  return cases;
}
