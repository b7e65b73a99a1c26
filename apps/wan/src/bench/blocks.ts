import {
  parseTransformerConfig,
  transformerAttentionRequests,
  transformerLoadOptions,
  WanTransformer,
} from "@wan-ts/models";
import { allFinite, keep, scope, type Tensor } from "@wan-ts/tensor";
import { type BenchDType, type BenchmarkCase, BenchmarkError, type BenchmarkFamily } from "./case.ts";
import { benchAttention, checkAgainstPlainKernels, countFlops, fillWithRandom } from "./random-model.ts";
import { uniformTensor } from "./values.ts";

/** Wan-1.3B's width with the image keys of image to video, two blocks deep. */
export const blocksConfig = parseTransformerConfig(
  {
    num_attention_heads: 12,
    attention_head_dim: 128,
    ffn_dim: 8960,
    num_layers: 2,
    in_channels: 36,
    out_channels: 16,
    text_dim: 4096,
    image_dim: 1280,
    added_kv_proj_dim: 1536,
  },
  "two blocks of Wan-1.3B",
);

/** Tokens of latents, text and image. */
export interface Lengths {
  readonly grid: readonly [frames: number, height: number, width: number];
  readonly text: number;
  readonly image: number;
}
const full: Lengths = { grid: [4, 32, 32], text: 512, image: 257 };
const small: Lengths = { grid: [1, 4, 4], text: 9, image: 5 };

/** A stack of two transformer blocks, context keys and values made before. */
export const blocksFamily: BenchmarkFamily = {
  name: "blocks",
  cases: (["bfloat16", "float32"] as const).map(blocksCase),
};

function blocksCase(dtype: BenchDType): BenchmarkCase {
  return {
    case: "2 blocks of 1.3B width, S 4096, 512 text and 257 image tokens",
    dtype,
    peer: { operation: "blocks", dtype, grid: full.grid, text: full.text, image: full.image },
    prepare() {
      const attention = benchAttention(transformerAttentionRequests(blocksConfig, dtype, "cpu"));
      const transformer = new WanTransformer(blocksConfig, attention);
      fillWithRandom(transformer, transformerLoadOptions(dtype));
      const inputs = new BlockInputs(transformer, full, dtype);
      const run = (): Tensor => inputs.run();
      return {
        flops: countFlops(transformer.blocks, attention, () => run().dispose()),
        run,
        async check(output) {
          if (!(await allFinite(output))) throw new BenchmarkError(Number.NaN, 0, 0, "the whole output");
          using few = new BlockInputs(transformer, small, dtype);
          await checkAgainstPlainKernels(attention, dtype, () => few.run());
        },
        [Symbol.dispose]() {
          inputs[Symbol.dispose]();
          transformer.dispose();
        },
      };
    },
  };
}

/** What the blocks take, and the pass through them. */
class BlockInputs implements Disposable {
  readonly #transformer: WanTransformer;
  readonly #hiddenStates: Tensor;
  readonly #temb: Tensor;
  readonly #context: ReturnType<WanTransformer["prepareContext"]>;
  readonly #grid: { readonly frames: number; readonly height: number; readonly width: number };

  constructor(transformer: WanTransformer, { grid, text, image }: Lengths, dtype: BenchDType) {
    const dim = blocksConfig.numAttentionHeads * blocksConfig.attentionHeadDim;
    const [frames, height, width] = grid;
    this.#transformer = transformer;
    this.#grid = { frames, height, width };
    this.#hiddenStates = uniformTensor([1, frames * height * width, dim], dtype, 1);
    this.#temb = uniformTensor([1, 1, 6, dim], dtype, 2, 0.1);
    using encoderHiddenStates = uniformTensor([1, text, blocksConfig.textDim], dtype, 3);
    using encoderHiddenStatesImage = uniformTensor([1, image, blocksConfig.imageDim ?? 0], dtype, 4);
    this.#context = transformer.prepareContext({ encoderHiddenStates, encoderHiddenStatesImage });
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

  constructor(transformer: WanTransformer, { grid, text, image }: Lengths, dtype: BenchDType) {
    const [, patchHeight, patchWidth] = transformer.config.patchSize;
    const [frames, height, width] = grid;
    this.#transformer = transformer;
    const shape = [1, blocksConfig.inChannels, frames, height * patchHeight, width * patchWidth];
    this.#latents = uniformTensor(shape, dtype, 1);
    using encoderHiddenStates = uniformTensor([1, text, blocksConfig.textDim], dtype, 3);
    using encoderHiddenStatesImage = uniformTensor([1, image, blocksConfig.imageDim ?? 0], dtype, 4);
    this.#context = transformer.prepareContext({ encoderHiddenStates, encoderHiddenStatesImage });
  }

  /** (1, outChannels, T, H, W). */
  forward(): Tensor {
    return this.#transformer.call({ hiddenStates: this.#latents, timestep: [500], context: this.#context });
  }

  [Symbol.dispose](): void {
    this.#latents.dispose();
    this.#context.dispose();
  }
}
