import { type DType, keep, type Tensor } from "@wan-ts/tensor";

/** What decides a prompt's embeddings. */
export interface PromptKey {
  /** As it was cleaned. */
  readonly text: string;
  readonly maxSequenceLength: number;
  readonly dtype: DType;
}

/** Prompt embeddings by content, the last used at most `capacity` of them. */
export class PromptCache implements Disposable {
  readonly capacity: number;
  readonly #entries = new Map<string, Tensor>();

  /** @param capacity 0 keeps nothing. */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** Prompts that are held. */
  get size(): number {
    return this.#entries.size;
  }

  /** Another handle to a prompt's embeddings, which the caller disposes. */
  get(key: PromptKey): Tensor | undefined {
    const name = nameOf(key);
    const embeds = this.#entries.get(name);
    if (!embeds) return undefined;
    this.#entries.delete(name);
    this.#entries.set(name, embeds); // Last used, last in order.
    return embeds.share();
  }

  /** Holds another handle to a prompt's embeddings; the caller's stays the caller's. */
  set(key: PromptKey, embeds: Tensor): void {
    const name = nameOf(key);
    this.#entries.get(name)?.dispose();
    this.#entries.delete(name);
    this.#entries.set(name, keep(embeds.share()));
    for (const [oldest, tensor] of this.#entries) {
      if (this.#entries.size <= this.capacity) break;
      this.#entries.delete(oldest);
      tensor.dispose();
    }
  }

  /** Lets go of all embeddings; more may come. */
  clear(): void {
    for (const embeds of this.#entries.values()) embeds.dispose();
    this.#entries.clear();
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}

function nameOf({ text, maxSequenceLength, dtype }: PromptKey): string {
  return JSON.stringify([dtype, maxSequenceLength, text]);
}
