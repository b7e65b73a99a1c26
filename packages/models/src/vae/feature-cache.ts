import type { ModuleNode } from "@wan-ts/nn";
import { concatenate, keep, type Tensor } from "@wan-ts/tensor";

/**
 * The last frames that each causal convolution has seen, so that a video can go through the VAE in
 * chunks: a convolution over time finds the frames before a chunk here. One cache belongs to one pass
 * over one video, forwards in time.
 */
export class FeatureCache implements Disposable {
  readonly #frames = new Map<ModuleNode, Tensor>();

  /**
   * The frames (B, T, H, W, C) that a layer left last; undefined before its first chunk. They are the
   * cache's, until the layer leaves others.
   */
  recall(layer: ModuleNode): Tensor | undefined {
    return this.#frames.get(layer);
  }

  /** Leaves frames (B, T, H, W, C) for a layer's next chunk, in place of those before. */
  remember(layer: ModuleNode, frames: Tensor): void {
    // A copy: the frames are usually a view, and would hold on to the whole chunk.
    const copy = keep(concatenate([frames], 1));
    this.#frames.get(layer)?.dispose();
    this.#frames.set(layer, copy);
  }

  /** Lets go of all frames. */
  [Symbol.dispose](): void {
    for (const frames of this.#frames.values()) frames.dispose();
    this.#frames.clear();
  }
}
