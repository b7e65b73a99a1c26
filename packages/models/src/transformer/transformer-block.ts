import type { AttentionDispatcher } from "@wan-ts/attention";
import { LayerNorm, Module, type Parameter } from "@wan-ts/nn";
import { add, gatedResidual, scope, type Tensor } from "@wan-ts/tensor";
import { blockModulations } from "./condition-embedder.ts";
import type { TransformerConfig } from "./config.ts";
import { CrossAttention, type CrossAttentionContext } from "./cross-attention.ts";
import { FeedForward } from "./feed-forward.ts";
import type { RotaryEmbedding } from "./rotary-embedding.ts";
import { SelfAttention } from "./self-attention.ts";

/** The arguments of {@link TransformerBlock}. */
export interface TransformerBlockInput {
  /** (B, S, C). */
  readonly hiddenStates: Tensor;
  readonly context: CrossAttentionContext;
  /** (B, 1, 6, C), or (B, S, 6, C) where each token has its own time. */
  readonly temb: Tensor;
  readonly rotary: RotaryEmbedding;
}

/** Self-attention, cross-attention and feed-forward; parameters as diffusers' `WanTransformerBlock`. */
export class TransformerBlock extends Module<TransformerBlockInput, Tensor> {
  readonly norm1: LayerNorm;
  readonly attn1: SelfAttention;
  readonly norm2: LayerNorm | undefined;
  readonly attn2: CrossAttention;
  readonly norm3: LayerNorm;
  readonly ffn: FeedForward;
  readonly scaleShiftTable: Parameter;

  constructor(config: TransformerConfig, attention: AttentionDispatcher) {
    super();
    const { numAttentionHeads: heads, attentionHeadDim: headDim, eps: epsilon } = config;
    const dim = heads * headDim;
    this.scaleShiftTable = this.parameter("scale_shift_table", [1, blockModulations, dim]);
    this.norm1 = this.child("norm1", new LayerNorm(dim, { epsilon, affine: false }));
    this.attn1 = this.child("attn1", new SelfAttention({ heads, headDim, epsilon }, attention));
    this.norm2 = config.crossAttnNorm ? this.child("norm2", new LayerNorm(dim, { epsilon })) : undefined;
    this.attn2 = this.child(
      "attn2",
      new CrossAttention({ heads, headDim, epsilon, imageDim: config.addedKvProjDim }, attention),
    );
    this.norm3 = this.child("norm3", new LayerNorm(dim, { epsilon, affine: false }));
    this.ffn = this.child(
      "ffn",
      new FeedForward({ inputs: dim, inner: config.ffnDim, outputs: dim, activation: "geluTanh" }),
    );
  }

  /** (B, S, C) → (B, S, C). */
  protected override forward(inputs: TransformerBlockInput): Tensor {
    const { hiddenStates, context, temb, rotary } = inputs;
    const table = this.scaleShiftTable.value; // (1, 6, C), kept in float32
    // In float32 whatever the model's dtype: 1 + scale in 16 bits would lose most of scale.
    const modulation = (index: number) => add(temb.select(2, index).to("float32"), table.select(1, index)); // (B, N, C)

    // 1. Self-attention. Norm and modulation are float32 and rounded once, as are gate and residual.
    const attended = scope(() => {
      const input = this.norm1.call({ input: hiddenStates, shift: modulation(0), scale: modulation(1) });
      return gatedResidual(hiddenStates, this.attn1.call({ hiddenStates: input, rotary }), modulation(2));
    }); // (B, S, C)

    // 2. Cross-attention. The residual is added in the model's dtype: diffusers doesn't widen this one.
    const informed = scope(() => {
      const input = this.norm2?.call({ input: attended }) ?? attended;
      return add(attended, this.attn2.call({ hiddenStates: input, context }));
    }); // (B, S, C)
    attended.dispose();

    // 3. Feed-forward. Rounded as self-attention.
    const input = this.norm3.call({ input: informed, shift: modulation(3), scale: modulation(4) });
    return gatedResidual(informed, this.ffn.call({ input }), modulation(5)); // (B, S, C)
  }
}
