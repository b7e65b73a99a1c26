import type { AttentionDispatcher, AttentionRegistry } from "@wan-ts/attention";
import {
  ContextParallelizer,
  type ContextParallelOptions,
  type RanksOfRun,
  splitFeaturesOverRanks,
  splitRowsOverRanks,
} from "@wan-ts/context-parallel";
import type { ComponentName } from "@wan-ts/hub";
import {
  ClipVisionEncoder,
  clipVisionFeaturePlan,
  clipVisionLoadOptions,
  type TransformerConfig,
  transformerLoadOptions,
  Umt5Encoder,
  umt5FeaturePlan,
  umt5LoadOptions,
  WanTransformer,
  WanVae,
} from "@wan-ts/models";
import type { ModuleList, ModuleNode, LoadOptions as ParameterOptions, WeightQuantization } from "@wan-ts/nn";
import type { QuantizableComponent, QuantizationConfig, StoredQuantization } from "@wan-ts/quantization";
import { type Device, type DType, Tensor } from "@wan-ts/tensor";
import { Tokenizer } from "@wan-ts/text";
import type { OpenOptions, WanCheckpoint } from "./checkpoint.ts";
import type { ImageEncoder } from "./encode-image.ts";
import { PipelineInputError } from "./errors.ts";
import { chooseModelAttention } from "./model-attention.ts";
import { chooseQuantization } from "./quantization.ts";
import { WeightedModel } from "./weighted-model.ts";

/** The models of a pipeline that attend. */
export type AttendingModel = "transformer" | "transformer2" | "textEncoder" | "imageEncoder" | "vae";

/** How a pipeline is loaded. */
export interface LoadOptions extends OpenOptions {
  /** Of the transformers and the text encoder; the VAE and the image encoder are float32. By default bfloat16. */
  readonly dtype?: DType | undefined;
  /** Where to hold weights and compute; by default the processor. */
  readonly device?: Device | undefined;
  /** Attention backends to choose from, best first; by default those that come with wan-ts. */
  readonly attention?: AttentionRegistry | undefined;
  /**
   * The transformers' attention backend by name, or each model's. A model that is not named takes
   * the first of the registry that supports what it asks for; `transformer2` what `transformer` does.
   */
  readonly attentionBackend?: string | Partial<Record<AttendingModel, string>> | undefined;
  /**
   * Weights to hold in fewer bits, by `nf4` or `int8` of `@wan-ts/quantization`; by default as the
   * checkpoint stores them. What is stored quantized is recognised without it.
   */
  readonly quantization?: QuantizationConfig | undefined;
  /**
   * Whether only the model at work is held in memory: mapped and cast when it is needed, dropped
   * after. Takes the time to read weights at each use; by default false. `block`, for a CUDA device: the
   * blocks of the model at work, if it is a transformer or the text encoder, lie in this machine's
   * memory, and the one that computes and the next are on the device.
   */
  readonly cpuOffload?: boolean | "block" | undefined;
  /** The ranks that this process is one of, by `joinRanks` of `@wan-ts/distributed`; by default none. */
  readonly ranks?: RanksOfRun | undefined;
  /**
   * How the transformers are split over the ranks, checked before weights load; by default not at all.
   * With it the VAE is split by rows, and the image encoder by features.
   */
  readonly parallel?: ContextParallelOptions | undefined;
  /** Whether the text encoder is split over the ranks by features, each holding its share; by default not. */
  readonly parallelTextEncoder?: boolean | undefined;
  /** Prompts whose embeddings are kept for later calls; by default 16, about 2 MB each for a prompt of 128 tokens. */
  readonly promptCacheSize?: number | undefined;
}

/** The models of a pipeline; all are checked, and all but those on demand are loaded. */
export interface WanComponents extends Disposable {
  /** Of the transformers and of embeddings. */
  readonly dtype: DType;
  /** Where the models compute. */
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  readonly textEncoder: WeightedModel<Umt5Encoder>;
  readonly transformer: WeightedModel<WanTransformer>;
  readonly transformer2: WeightedModel<WanTransformer> | undefined;
  readonly vae: WeightedModel<WanVae>;
  readonly imageEncoder: ImageEncoder | undefined;
}

/**
 * Loads a checkpoint's models. Attention backends, then every tensor's name, shape and dtype are
 * checked before the first weight is read.
 *
 * @throws {PipelineInputError} for offloading by block on the processor, {TensorError} `device` where
 * there is no such device, {UnknownBackendError},
 * {UnsupportedAttentionError}, {ContextParallelError} for a split that can't be, {TokenizerFileError},
 * {CollectiveError} where the ranks' devices can't be connected as asked,
 * {HubError}, {SafetensorsError}, {StateError}, {CheckpointError} where weights are stored in another
 * quantization
 */
export async function loadComponents(
  checkpoint: WanCheckpoint,
  options: LoadOptions = {},
): Promise<WanComponents> {
  const { directory, textEncoder: textConfig, vae: vaeConfig, imageEncoder: imageConfig } = checkpoint;
  const dtype = options.dtype ?? "bfloat16";
  const device = options.device ?? "cpu";
  const onDemand = options.cpuOffload !== undefined && options.cpuOffload !== false;
  const byBlock = options.cpuOffload === "block";
  if (byBlock && device === "cpu") {
    const expected = "true or false on the processor, whose memory is where weights are held anyway";
    throw new PipelineInputError("cpuOffload", expected, '"block"');
  }
  // Before anything is read: a device that isn't there is told at once.
  Tensor.zeros([0], "float32", device).dispose();
  const attention = chooseModelAttention(checkpoint, options);
  // Before groups are made of the ranks.
  options.ranks?.connectDevice?.(device);
  const parallelizer = new ContextParallelizer(options.ranks);
  const weighted = <M extends ModuleNode>(
    name: ComponentName,
    module: M,
    read: ParameterOptions,
    blocks?: ModuleList<ModuleNode>,
  ): WeightedModel<M> => {
    const held = { device, onDemand, offloaded: byBlock ? blocks : undefined };
    return new WeightedModel(module, directory.component(name), { ...read, ...held });
  };
  const quantizationOf = (
    name: QuantizableComponent,
    stored: StoredQuantization | null,
  ): WeightQuantization | undefined =>
    chooseQuantization(directory, name, stored, options.quantization, device);
  const transformerOf = (
    name: "transformer" | "transformer2",
    config: TransformerConfig,
    dispatcher: AttentionDispatcher,
  ): WeightedModel<WanTransformer> => {
    const quantization = quantizationOf(name, config.quantization);
    const transformer = new WanTransformer(config, dispatcher, parallelizer);
    if (options.parallel) transformer.enableParallelism(options.parallel);
    return weighted(name, transformer, transformerLoadOptions(dtype, quantization), transformer.blocks);
  };

  const textEncoder = new Umt5Encoder(textConfig, attention.textEncoder);
  const { world, inSharedMemory } = options.ranks ?? {};
  const several = world !== undefined && world.size > 1;
  const vae = new WanVae(
    vaeConfig,
    attention.vae,
    several ? (root, plan) => splitRowsOverRanks(root, plan, world) : undefined,
  );
  if (several && options.parallel) vae.enableParallelism();
  if (several && options.parallelTextEncoder) {
    splitFeaturesOverRanks(textEncoder, umt5FeaturePlan(textConfig), world, inSharedMemory);
  }
  const models = {
    textEncoder: weighted(
      "textEncoder",
      textEncoder,
      umt5LoadOptions(dtype, quantizationOf("textEncoder", textConfig.quantization)),
      textEncoder.blocks,
    ),
    transformer: transformerOf("transformer", checkpoint.transformer, attention.transformer),
    transformer2:
      checkpoint.lowNoiseExpert &&
      attention.transformer2 &&
      transformerOf("transformer2", checkpoint.lowNoiseExpert.transformer, attention.transformer2),
    vae: weighted("vae", vae, { dtype: "float32" }),
  };
  let imageEncoder: ImageEncoder | undefined;
  if (imageConfig && attention.imageEncoder) {
    const encoder = new ClipVisionEncoder(imageConfig.encoder, attention.imageEncoder);
    if (several && options.parallel) {
      splitFeaturesOverRanks(encoder, clipVisionFeaturePlan(imageConfig.encoder), world, inSharedMemory);
    }
    imageEncoder = {
      encoder: weighted("imageEncoder", encoder, clipVisionLoadOptions(encoder, "float32")),
      preprocessor: imageConfig.preprocessor,
    };
  }
  const tokenizer = await Tokenizer.fromDirectory(directory.component("tokenizer").folder);
  const all: readonly WeightedModel<ModuleNode>[] = [
    models.textEncoder,
    models.transformer,
    ...(models.transformer2 ? [models.transformer2] : []),
    models.vae,
    ...(imageEncoder ? [imageEncoder.encoder] : []),
  ];
  const dispose = (): void => {
    for (const model of all) model[Symbol.dispose]();
  };
  try {
    for (const model of all) await model.check();
    if (!onDemand) for (const model of all) await model.load();
  } catch (error) {
    dispose();
    throw error;
  }
  return { dtype, device, tokenizer, ...models, imageEncoder, [Symbol.dispose]: dispose };
}
