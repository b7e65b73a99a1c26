import {
  parseTransformerConfig,
  type TransformerConfig,
  transformerAttentionRequests,
  transformerLoadOptions,
  WanTransformer,
} from "@wan-ts/models";
import { type Device, keep, scope, type Tensor } from "@wan-ts/tensor";
import type { BenchDType, BenchmarkCase, BenchmarkFamily } from "./case.ts";
import { checkModel } from "./check-model.ts";
import { type BenchModel, benchAttention, countFlops, fillWithRandom } from "./random-model.ts";
import { uniformRows, uniformTensor } from "./values.ts";
import { tokenCount, tokenGrid, type VideoSize, videos } from "./video-sizes.ts";

/** Wan-1.3B's width with the image keys of image to video, two blocks deep. */
export const blocksConfig = configOf("two blocks of Wan-1.3B", {
  num_attention_heads: 12,
  ffn_dim: 8960,
  num_layers: 2,
  in_channels: 36,
  image_dim: 1280,
  added_kv_proj_dim: 1536,
});

/** The text-to-video models of Wan 2.1, whose other settings are the defaults. */
const published = {
  "1.3B": { num_attention_heads: 12, ffn_dim: 8960, num_layers: 30 },
  "14B": { num_attention_heads: 40, ffn_dim: 13_824, num_layers: 40 },
} as const;

/** Tokens of latents, text and image. */
export interface Lengths {
  readonly grid: readonly [frames: number, height: number, width: number];
  readonly text: number;
  readonly image: number;
}
const full: Lengths = { grid: [4, 32, 32], text: 512, image: 257 };
const small: Lengths = { grid: [1, 4, 4], text: 9, image: 5 };

/** Layers of the model that a deeper one's kernels are checked by. */
const checkedLayers = 2;

/** A pass through blocks, context keys and values made before; or through the whole model. */
export interface BlocksSetup {
  readonly case: string;
  readonly config: TransformerConfig;
  readonly lengths: Lengths;
  readonly whole: boolean;
}

/** A stack of two transformer blocks; on a CUDA device blocks and the whole of published models. */
export const blocksFamily: BenchmarkFamily = {
  name: "blocks",
  cases: (["bfloat16", "float32"] as const).map((dtype) => {
    const name = "2 blocks of 1.3B width, S 4096, 512 text and 257 image tokens";
    return blocksCase({ case: name, config: blocksConfig, lengths: full, whole: false }, dtype);
  }),
  cudaCases: [
    publishedCase("1.3B", videos.at480p21, false),
    publishedCase("1.3B", videos.at480p81, false),
    publishedCase("14B", videos.at480p21, false),
    publishedCase("14B", videos.at480p81, false),
    publishedCase("14B", videos.at480p21, true),
    publishedCase("14B", videos.at480p81, true),
  ],
};

function configOf(name: string, settings: Readonly<Record<string, unknown>>): TransformerConfig {
  return parseTransformerConfig(settings, name);
}

function publishedCase(model: keyof typeof published, video: VideoSize, whole: boolean): BenchmarkCase {
  const settings = published[model];
  const config = configOf(`Wan 2.1 ${model}`, whole ? settings : { ...settings, num_layers: 1 });
  const { frames, height, width } = video;
  const name = `${whole ? `the whole of ${model}` : `a block of ${model}`}, ${frames} frames of ${height} × ${width} (S ${tokenCount(video)})`;
  return blocksCase(
    { case: name, config, lengths: { grid: tokenGrid(video), text: 512, image: 0 }, whole },
    "bfloat16",
  );
}

/** One such pass. */
export function blocksCase(
  { case: name, config, lengths, whole }: BlocksSetup,
  dtype: BenchDType,
): BenchmarkCase {
  const pass = (module: WanTransformer, of: Lengths, device: Device): Disposable & { run(): Tensor } =>
    whole ? new TransformerInputs(module, of, dtype, device) : new BlockInputs(module, of, dtype, device);
  return {
    case: name,
    dtype,
    peer: { operation: "transformer", dtype, config: peerConfig(config), ...lengths, whole },
    prepare(device) {
      const model = makeModel(config, dtype, device);
      const inputs = pass(model.module, lengths, device);
      const run = (): Tensor => inputs.run();
      return {
        flops: countFlops(model, () => run().dispose()),
        run,
        check: (output) =>
          checkModel(output, {
            dtype,
            device,
            model,
            make: (where) =>
              makeModel({ ...config, numLayers: Math.min(config.numLayers, checkedLayers) }, dtype, where),
            compute: (module, where) => {
              using few = pass(module, { ...small, image: lengths.image && small.image }, where);
              return few.run();
            },
          }),
        [Symbol.dispose]() {
          inputs[Symbol.dispose]();
          model.module.dispose();
        },
      };
    },
  };
}

function makeModel(config: TransformerConfig, dtype: BenchDType, device: Device): BenchModel<WanTransformer> {
  const attention = benchAttention(transformerAttentionRequests(config, dtype, device));
  const module = new WanTransformer(config, attention);
  fillWithRandom(module, transformerLoadOptions(dtype), device);
  return { module, attention };
}

/** What diffusers' class is made with; its other settings are the same defaults. */
function peerConfig(config: TransformerConfig): Record<string, number | null> {
  return {
    num_attention_heads: config.numAttentionHeads,
    attention_head_dim: config.attentionHeadDim,
    ffn_dim: config.ffnDim,
    num_layers: config.numLayers,
    in_channels: config.inChannels,
    text_dim: config.textDim,
    image_dim: config.imageDim,
    added_kv_proj_dim: config.addedKvProjDim,
  };
}

/** Keys and values of text, and of an image where the model takes one. */
function contextOf(
  transformer: WanTransformer,
  { text, image }: Lengths,
  dtype: BenchDType,
  device: Device,
): ReturnType<WanTransformer["prepareContext"]> {
  const { textDim, imageDim } = transformer.config;
  return scope(() =>
    transformer.prepareContext({
      encoderHiddenStates: uniformTensor([1, text, textDim], dtype, 3, { device }),
      encoderHiddenStatesImage:
        imageDim === null ? undefined : uniformTensor([1, image, imageDim], dtype, 4, { device }),
    }),
  );
}

/** What the blocks take, and the pass through them. */
class BlockInputs implements Disposable {
  readonly #transformer: WanTransformer;
  readonly #hiddenStates: Tensor;
  readonly #temb: Tensor;
  readonly #context: ReturnType<WanTransformer["prepareContext"]>;
  readonly #grid: {
    readonly frames: number;
    readonly height: number;
    readonly width: number;
    readonly device: Device;
  };

  constructor(transformer: WanTransformer, lengths: Lengths, dtype: BenchDType, device: Device) {
    const dim = transformer.config.numAttentionHeads * transformer.config.attentionHeadDim;
    const [frames, height, width] = lengths.grid;
    this.#transformer = transformer;
    this.#grid = { frames, height, width, device };
    this.#hiddenStates = uniformRows([1, frames * height * width, dim], dtype, 1, { device });
    this.#temb = uniformTensor([1, 1, 6, dim], dtype, 2, { scale: 0.1, device });
    this.#context = contextOf(transformer, lengths, dtype, device);
  }

  /** (1, S, C). */
  run(): Tensor {
    return keep(
      scope(() => {
        const rotary = this.#transformer.rope.call(this.#grid);
        let hiddenStates = this.#hiddenStates.share();
        for (const [index, block] of this.#transformer.blocks.items.entries()) {
          const context = this.#context.blocks[index];
          if (!context) throw new RangeError(`the context has no block ${index}`);
          hiddenStates = block.call({ hiddenStates, context, temb: this.#temb, rotary });
        }
        return hiddenStates;
      }),
    );
  }

  [Symbol.dispose](): void {
    this.#hiddenStates.dispose();
    this.#temb.dispose();
    this.#context.dispose();
  }
}

/** What a whole forward pass takes. */
export class TransformerInputs implements Disposable {
  readonly #transformer: WanTransformer;
  readonly #latents: Tensor;
  readonly #context: ReturnType<WanTransformer["prepareContext"]>;

  constructor(transformer: WanTransformer, lengths: Lengths, dtype: BenchDType, device: Device = "cpu") {
    const { patchSize, inChannels } = transformer.config;
    const [, patchHeight, patchWidth] = patchSize;
    const [frames, height, width] = lengths.grid;
    this.#transformer = transformer;
    const shape = [1, inChannels, frames, height * patchHeight, width * patchWidth];
    this.#latents = uniformTensor(shape, dtype, 1, { device });
    this.#context = contextOf(transformer, lengths, dtype, device);
  }

  /** A forward pass: (1, outChannels, T, H, W). */
  run(): Tensor {
    return this.#transformer.call({ hiddenStates: this.#latents, timestep: [500], context: this.#context });
  }

  [Symbol.dispose](): void {
    this.#latents.dispose();
    this.#context.dispose();
  }
}
