import type { AttentionCall, AttentionDispatcher, AttentionResult } from "@wan-ts/attention";
import { Module } from "@wan-ts/nn";

/**
 * Attention of a model's tokens or pixels among themselves: a module of its own, so that a hook can have
 * it done another way where they are not all here.
 */
export class DispatchedAttention extends Module<AttentionCall, AttentionResult> {
  readonly #attention: AttentionDispatcher;

  constructor(attention: AttentionDispatcher) {
    super();
    this.#attention = attention;
  }

  /** (B, S, H, D) each → (B, S, H, D). */
  protected override forward(call: AttentionCall): AttentionResult {
    return this.#attention.attend(call);
  }
}
