import type { AttentionBackend, AttentionDispatcher } from "@wan-ts/attention";
import { Embedding, Module, ModuleList } from "@wan-ts/nn";
import { multiply, subtract, Tensor, TensorError } from "@wan-ts/tensor";
import { hasShape, shapeText } from "../shape.ts";
import type { Umt5Config } from "./config.ts";
import { relativePositionBuckets } from "./relative-position.ts";
import { Umt5Block } from "./umt5-block.ts";
import { Umt5Norm } from "./umt5-norm.ts";

/** The arguments of {@link Umt5Encoder}. */
export interface Umt5Input {
  /** int32 or int64 (B, S). */
  readonly inputIds: Tensor;
  /** int32, int64 or uint8 (B, S): 1, or 0 where a token is padding. Without it, none is. */
  readonly attentionMask?: Tensor | undefined;
}

/** Its negative, added to a score, leaves nothing of it. */
const greatestFloat32 = 3.4028234663852886e38;

/**
 * The UMT5 text encoder (Chung et al. 2023). Parameters are named as transformers' `UMT5EncoderModel`
 * (`models/umt5/modeling_umt5.py`).
 *
 * Comments at line ends give shapes: B samples, S tokens, C features.
 */
export class Umt5Encoder extends Module<Umt5Input, Tensor> {
  readonly config: Umt5Config;
  readonly shared: Embedding;
  readonly blocks: ModuleList<Umt5Block>;
  readonly finalNorm: Umt5Norm;
  readonly #attention: AttentionDispatcher;

  /** @param attention where the blocks' attention goes, made for `umt5AttentionRequests`. */
  constructor(config: Umt5Config, attention: AttentionDispatcher) {
    super();
    this.config = config;
    this.#attention = attention;
    this.shared = this.child("shared", new Embedding(config.vocabSize, config.dModel));
    this.blocks = this.child(
      "encoder.block",
      new ModuleList(Array.from({ length: config.numLayers }, () => new Umt5Block(config, attention))),
    );
    this.finalNorm = this.child(
      "encoder.final_layer_norm",
      new Umt5Norm(config.dModel, config.layerNormEpsilon),
    );
  }

  /**
   * Sends this model's attention to another backend, by name or as an object.
   *
   * @throws {UnknownBackendError}, {UnsupportedAttentionError}; the backend then stays as it was.
   */
  setAttentionBackend(backend: string | AttentionBackend): void {
    this.#attention.use(backend);
  }

  /** (B, S) → (B, S, C), of the model's dtype. Rows of padding hold values without meaning. */
  protected override forward({ inputIds, attentionMask }: Umt5Input): Tensor {
    if (inputIds.rank !== 2) {
      throw TensorError.argument("umt5Encoder", "inputIds", "[B, S]", shapeText(inputIds.shape));
    }
    const [batch, length] = inputIds.shape as readonly [number, number];
    if (attentionMask && !hasShape(attentionMask, inputIds.shape)) {
      throw TensorError.argument(
        "umt5Encoder",
        "attentionMask",
        `${shapeText(inputIds.shape)}, as inputIds`,
        shapeText(attentionMask.shape),
      );
    }
    const { relativeAttentionNumBuckets: buckets, relativeAttentionMaxDistance: maxDistance } = this.config;
    const bucketOfPair = relativePositionBuckets(length, { buckets, maxDistance });
    const block = {
      buckets: Tensor.from(bucketOfPair, [length, length], "int32", inputIds.device),
      padding: attentionMask && paddingMask(attentionMask).reshape([batch, 1, 1, length]),
    };
    let hiddenStates = this.shared.call({ indices: inputIds }); // (B, S, C)
    for (const layer of this.blocks) {
      const next = layer.call({ hiddenStates, ...block }); // (B, S, C)
      if (next !== hiddenStates) hiddenStates.dispose();
      hiddenStates = next;
    }
    return this.finalNorm.call({ input: hiddenStates });
  }
}

/** 1 → 0, 0 → the lowest float32. */
function paddingMask(attentionMask: Tensor): Tensor {
  return multiply(subtract(attentionMask.to("float32"), 1), greatestFloat32);
}
