import { Module } from "@wan-ts/nn";
import { concatenate, type Device, keep, scope, Tensor, TensorError } from "@wan-ts/tensor";
import type { TransformerConfig } from "./config.ts";

/** Turns of query and key pairs by token, for every head alike. */
export interface RotaryEmbedding {
  /** float32 (1, S, D/2). */
  readonly cos: Tensor;
  /** float32 (1, S, D/2). */
  readonly sin: Tensor;
}

/** Tokens along each axis, in latent patches. */
export interface TokenGrid {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** Where they are computed with; by default the processor. */
  readonly device?: Device;
}

/** The base of the geometric series of frequencies. */
const theta = 10_000;
/** Sizes whose tables are held: a run has one, or two where it works on tiles or previews. */
const heldSizes = 2;

/**
 * Rotary positions of a video's tokens: a head's pairs are shared out among time, height and width.
 * After diffusers `models/transformers/transformer_wan.py`, `WanRotaryPosEmbed`.
 *
 * The tables of the last sizes asked for are held until {@link WanRotaryEmbedding.dispose}.
 */
export class WanRotaryEmbedding extends Module<TokenGrid, RotaryEmbedding> {
  readonly #axisDims: readonly [number, number, number];
  readonly #maxExtent: number;
  readonly #held = new Map<string, RotaryEmbedding>();

  constructor(config: Pick<TransformerConfig, "attentionHeadDim" | "ropeMaxSeqLen">) {
    super();
    const spatial = 2 * Math.floor(config.attentionHeadDim / 6);
    this.#axisDims = [config.attentionHeadDim - 2 * spatial, spatial, spatial];
    this.#maxExtent = config.ropeMaxSeqLen;
  }

  /** Tokens in row-major order of frames, height, width → cos and sin of each. */
  protected override forward(grid: TokenGrid): RotaryEmbedding {
    const name = `${grid.frames}×${grid.height}×${grid.width} on ${grid.device ?? "cpu"}`;
    const tables = this.#held.get(name) ?? this.#tables(grid);
    this.#held.delete(name);
    this.#held.set(name, tables); // Last asked for, last in order.
    for (const [oldest, { cos, sin }] of this.#held) {
      if (this.#held.size <= heldSizes) break;
      this.#held.delete(oldest);
      cos.dispose();
      sin.dispose();
    }
    return { cos: tables.cos.share(), sin: tables.sin.share() };
  }

  /** Lets go of the tables; they are made anew when asked for. */
  override dispose(): void {
    super.dispose();
    for (const { cos, sin } of this.#held.values()) {
      cos.dispose();
      sin.dispose();
    }
    this.#held.clear();
  }

  #tables(grid: TokenGrid): RotaryEmbedding {
    const extents = [grid.frames, grid.height, grid.width] as const;
    if (extents.some((extent) => extent > this.#maxExtent)) {
      throw TensorError.argument(
        "rotaryEmbedding",
        "hiddenStates",
        `at most ${this.#maxExtent} tokens (rope_max_seq_len) along frames, height and width`,
        extents.join(" × "),
      );
    }
    const table = (turn: (angle: number) => number) =>
      scope(() => {
        const axes = this.#axisDims.map((dim, axis) => axisTable(turn, dim, extents, axis));
        const whole = concatenate(axes, -1).reshape([1, extents[0] * extents[1] * extents[2], -1]);
        return whole.toDevice(grid.device ?? "cpu"); // (1, S, D/2)
      });
    return keep({ cos: table(Math.cos), sin: table(Math.sin) });
  }
}

/**
 * One axis's share of a table, repeated along the other axes: (T, H, W, dim/2), a view. Angles are
 * float64, of which `turn` is rounded to float32.
 */
function axisTable(
  turn: (angle: number) => number,
  dim: number,
  extents: readonly [number, number, number],
  axis: number,
): Tensor {
  const pairs = dim / 2;
  const length = extents[axis] as number;
  const values = new Float32Array(length * pairs);
  for (let position = 0; position < length; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      values[position * pairs + pair] = turn(position * (1 / theta ** ((2 * pair) / dim)));
    }
  }
  const shape = extents.map((_, other) => (other === axis ? length : 1));
  return Tensor.from(values, [...shape, pairs]).expand([...extents, pairs]);
}
