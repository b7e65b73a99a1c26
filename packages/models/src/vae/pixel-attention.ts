import type { AttentionCall, AttentionDispatcher, AttentionResult } from "@wan-ts/attention";
import { Module } from "@wan-ts/nn";

/** Attention among the pixels of each frame, without parameters: sequences are frames, row by row. */
export class PixelAttention extends Module<AttentionCall, AttentionResult> {
  readonly #dispatcher: AttentionDispatcher;

  constructor(dispatcher: AttentionDispatcher) {
    super();
    this.#dispatcher = dispatcher;
  }

  /** (B·T, H·W, 1, C) each → `output` alike. */
  protected override forward(call: AttentionCall): AttentionResult {
    return this.#dispatcher.attend(call);
  }
}
