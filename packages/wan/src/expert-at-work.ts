import { ContextParallelError } from "@wan-ts/context-parallel";
import type { TransformerContext, WanTransformer } from "@wan-ts/models";
import { add, type Cancellation, multiply, scope, subtract, type Tensor } from "@wan-ts/tensor";
import type { Expert } from "./experts.ts";
import type { ModelInput } from "./video-condition.ts";
import type { BorrowedModel } from "./weighted-model.ts";

/** What a transformer attends to beside the video. */
export interface Embeddings {
  /** (B, S, textDim). */
  readonly promptEmbeds: Tensor;
  /** (B, S, textDim), where there is guidance. */
  readonly negativePromptEmbeds: Tensor | undefined;
  /** (B, tokens, imageDim), or (2·B, …) for a model of first and last frame. */
  readonly imageEmbeds: Tensor | undefined;
}

/**
 * An expert while it denoises: its weights, and the keys and values of text and image in its blocks,
 * which are made once and serve every step until the embeddings change.
 */
export class ExpertAtWork implements Disposable {
  readonly expert: Expert;
  readonly #borrowed: BorrowedModel<WanTransformer>;
  #contexts: readonly TransformerContext[];

  private constructor(
    expert: Expert,
    borrowed: BorrowedModel<WanTransformer>,
    contexts: readonly TransformerContext[],
  ) {
    this.expert = expert;
    this.#borrowed = borrowed;
    this.#contexts = contexts;
  }

  /** Reads the expert's weights where they aren't held, and prepares it for embeddings. */
  static async start(
    expert: Expert,
    embeddings: Embeddings,
    cancellation: Cancellation,
  ): Promise<ExpertAtWork> {
    const borrowed = await expert.model.borrow();
    try {
      return new ExpertAtWork(
        expert,
        borrowed,
        cancellation.run(() => prepareContexts(borrowed.module, embeddings)),
      );
    } catch (error) {
      borrowed[Symbol.dispose]();
      throw error;
    }
  }

  /** Goes on with other embeddings. */
  use(embeddings: Embeddings, cancellation: Cancellation): void {
    this.#disposeContexts();
    this.#contexts = cancellation.run(() => prepareContexts(this.#borrowed.module, embeddings));
  }

  /**
   * The velocity (B, zDim, T, H, W), in the transformer's dtype; where there is guidance (Ho and
   * Salimans 2022) uncond + scale · (cond − uncond).
   */
  velocity({ hiddenStates, ...time }: ModelInput): Tensor {
    const { module: transformer } = this.#borrowed;
    return scope(() => {
      const input = { hiddenStates: hiddenStates.to(transformer.dtype), ...time };
      const computed = this.#contexts.map((context) => transformer.call({ ...input, context }));
      const { branches } = transformer.parallelism ?? {};
      const [conditional, unconditional] = branches ? branches.gather(computed[0]!) : computed;
      if (!unconditional) return conditional!;
      return add(unconditional, multiply(subtract(conditional!, unconditional), this.expert.guidanceScale));
    });
  }

  [Symbol.dispose](): void {
    this.#disposeContexts();
    this.#borrowed[Symbol.dispose]();
  }

  #disposeContexts(): void {
    for (const context of this.#contexts) context[Symbol.dispose]();
    this.#contexts = [];
  }
}

/**
 * The context of the prompt, then of the negative one where there is guidance; of one of both where
 * another rank works on the other.
 *
 * @throws {ContextParallelError} `guidance`.
 */
function prepareContexts(transformer: WanTransformer, embeddings: Embeddings): TransformerContext[] {
  const { promptEmbeds, negativePromptEmbeds, imageEmbeds } = embeddings;
  using contexts = new DisposableStack();
  const prepare = (encoderHiddenStates: Tensor): TransformerContext =>
    contexts.use(
      transformer.prepareContext({
        encoderHiddenStates,
        ...(imageEmbeds ? { encoderHiddenStatesImage: imageEmbeds } : {}),
      }),
    );
  const { branches } = transformer.parallelism ?? {};
  if (branches && !negativePromptEmbeds) {
    throw new ContextParallelError("guidance", "cfgParallel", "off without guidance", "on");
  }
  const all = [promptEmbeds, ...(negativePromptEmbeds ? [negativePromptEmbeds] : [])];
  const prepared = (branches ? all.slice(branches.index, branches.index + 1) : all).map(prepare);
  contexts.move();
  return prepared;
}
