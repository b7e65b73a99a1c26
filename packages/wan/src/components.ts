import { AttentionDispatcher, type AttentionRegistry, type AttentionRequest } from "@wan-ts/attention";
import { type ComponentName, openWeights, type WeightSource } from "@wan-ts/hub";
import {
  ClipVisionEncoder,
  clipVisionAttentionRequests,
  clipVisionLoadOptions,
  transformerAttentionRequests,
  transformerLoadOptions,
  Umt5Encoder,
  umt5AttentionRequests,
  umt5LoadOptions,
  vaeAttentionRequests,
  WanTransformer,
  WanVae,
} from "@wan-ts/models";
import {
  checkParameters,
  loadParameters,
  type ModuleNode,
  type LoadOptions as ParameterOptions,
} from "@wan-ts/nn";
import type { Device, DType } from "@wan-ts/tensor";
import { Tokenizer } from "@wan-ts/text";
import { defaultAttentionRegistry } from "./attention-backends.ts";
import type { OpenOptions, WanCheckpoint } from "./checkpoint.ts";
import type { ImageEncoder } from "./encode-image.ts";

/** The models of a pipeline that attend. */
export type AttendingModel = "transformer" | "textEncoder" | "imageEncoder" | "vae";

/** How a pipeline is loaded. */
export interface LoadOptions extends OpenOptions {
  /** Of the transformer and the text encoder; the VAE and the image encoder are float32. By default bfloat16. */
  readonly dtype?: DType | undefined;
  /** Attention backends to choose from, best first; by default those that come with wan-ts. */
  readonly attention?: AttentionRegistry | undefined;
  /**
   * The transformer's attention backend by name, or each model's. A model that is not named takes
   * the first of the registry that supports what it asks for.
   */
  readonly attentionBackend?: string | Partial<Record<AttendingModel, string>> | undefined;
}

/** The models of a pipeline, loaded. */
export interface WanComponents extends Disposable {
  readonly tokenizer: Tokenizer;
  readonly textEncoder: Umt5Encoder;
  readonly transformer: WanTransformer;
  readonly vae: WanVae;
  readonly imageEncoder: ImageEncoder | undefined;
}

/** A model yet to be loaded, and how. */
interface Part {
  readonly name: ComponentName;
  readonly module: ModuleNode;
  readonly options: ParameterOptions;
}

const device: Device = "cpu";

/**
 * Loads a checkpoint's models. Attention backends, then every tensor's name, shape and dtype are
 * checked before the first weight is read.
 *
 * @throws {UnknownBackendError}, {UnsupportedAttentionError}, {TokenizerFileError}, {HubError},
 * {SafetensorsError}, {StateError}
 */
export async function loadComponents(
  checkpoint: WanCheckpoint,
  options: LoadOptions = {},
): Promise<WanComponents> {
  const dtype = options.dtype ?? "bfloat16";
  const registry = options.attention ?? defaultAttentionRegistry();
  const dispatcher = (model: AttendingModel, requests: readonly AttentionRequest[]): AttentionDispatcher =>
    new AttentionDispatcher(registry, requests, backendOf(options.attentionBackend, model));

  const {
    transformer: transformerConfig,
    textEncoder: textConfig,
    vae: vaeConfig,
    imageEncoder: imageConfig,
  } = checkpoint;
  const transformer = new WanTransformer(
    transformerConfig,
    dispatcher("transformer", transformerAttentionRequests(transformerConfig, dtype, device)),
  );
  const textEncoder = new Umt5Encoder(
    textConfig,
    dispatcher("textEncoder", umt5AttentionRequests(textConfig, dtype, device)),
  );
  const vae = new WanVae(vaeConfig, dispatcher("vae", vaeAttentionRequests(vaeConfig, "float32", device)));
  const parts: Part[] = [
    { name: "textEncoder", module: textEncoder, options: umt5LoadOptions(dtype) },
    { name: "transformer", module: transformer, options: transformerLoadOptions(dtype) },
    { name: "vae", module: vae, options: { dtype: "float32" } },
  ];
  let imageEncoder: ImageEncoder | undefined;
  if (imageConfig) {
    const encoder = new ClipVisionEncoder(
      imageConfig.encoder,
      dispatcher("imageEncoder", clipVisionAttentionRequests(imageConfig.encoder, "float32", device)),
    );
    imageEncoder = { encoder, preprocessor: imageConfig.preprocessor };
    parts.push({ name: "imageEncoder", module: encoder, options: clipVisionLoadOptions(encoder, "float32") });
  }

  const tokenizer = await Tokenizer.fromDirectory(checkpoint.directory.component("tokenizer").folder);
  await loadParts(checkpoint, parts);
  return {
    tokenizer,
    textEncoder,
    transformer,
    vae,
    imageEncoder,
    [Symbol.dispose]: () => {
      for (const { module } of parts) module.dispose();
    },
  };
}

/** Opens all weights, checks all, then reads all. */
async function loadParts({ directory }: WanCheckpoint, parts: readonly Part[]): Promise<void> {
  using opened = new DisposableStack();
  const sources = new Map<Part, WeightSource>();
  for (const part of parts) {
    sources.set(part, opened.use(await openWeights(await directory.component(part.name).weights())));
  }
  for (const [part, source] of sources) checkParameters(part.module, source, part.options);
  try {
    for (const [part, source] of sources) loadParameters(part.module, source, part.options);
  } catch (error) {
    for (const { module } of parts) module.dispose();
    throw error;
  }
}

function backendOf(backend: LoadOptions["attentionBackend"], model: AttendingModel): string | undefined {
  if (typeof backend === "string") return model === "transformer" ? backend : undefined;
  return backend?.[model];
}
