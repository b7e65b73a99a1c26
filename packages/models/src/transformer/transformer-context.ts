import type { CrossAttentionContext } from "./cross-attention.ts";

/**
 * A prompt's, and an image's, keys and values in every block: the same at every step of a run. Made
 * by `WanTransformer.prepareContext`; whoever made it disposes it.
 */
export class TransformerContext implements Disposable {
  /** By block. */
  readonly blocks: readonly CrossAttentionContext[];

  /** @internal Takes ownership of `blocks`, which no scope may hold. */
  constructor(blocks: readonly CrossAttentionContext[]) {
    this.blocks = blocks;
  }

  /** Samples. */
  get batch(): number {
    return this.blocks[0]?.text.key.size(0) ?? 0;
  }

  /** Lets go of all keys and values. A second call does nothing. */
  dispose(): void {
    for (const { text, image } of this.blocks) {
      for (const tensor of [text.key, text.value, image?.key, image?.value]) tensor?.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
