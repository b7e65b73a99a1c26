import { type ModelComponent, openWeights } from "@wan-ts/hub";
import {
  checkParameters,
  loadParameters,
  type ModuleList,
  type ModuleNode,
  type LoadOptions as ParameterOptions,
} from "@wan-ts/nn";
import type { Device } from "@wan-ts/tensor";
import { DisposedError } from "./errors.ts";
import { OffloadedBlocks, sourceOn } from "./offloaded-blocks.ts";

/** How a {@link WeightedModel} holds its weights. */
export interface WeightedModelOptions extends ParameterOptions {
  /** Whether weights are held only while somebody works with the model, and read anew the next time. */
  readonly onDemand: boolean;
  /** Where weights are held; by default the processor. */
  readonly device?: Device | undefined;
  /** Blocks whose weights are held in this machine's memory, and moved to the device for their turn. */
  readonly offloaded?: ModuleList<ModuleNode> | undefined;
}

/** A model whose weights are held at least until this is disposed. */
export interface BorrowedModel<M extends ModuleNode> extends Disposable {
  readonly module: M;
}

/**
 * A model and where its weights come from. The module is there from the start (hooks, attention
 * backends and tiling are set on it at any time); its weights come with {@link WeightedModel.load} or
 * with the first {@link WeightedModel.borrow}.
 */
export class WeightedModel<M extends ModuleNode> implements Disposable {
  readonly module: M;
  readonly #component: ModelComponent;
  readonly #options: WeightedModelOptions;
  readonly #blocks: OffloadedBlocks | undefined;
  #borrowers = 0;
  #loading: Promise<void> | undefined;
  #disposed = false;

  constructor(module: M, component: ModelComponent, options: WeightedModelOptions) {
    this.module = module;
    this.#component = component;
    this.#options = options;
    const { offloaded, device = "cpu" } = options;
    this.#blocks = offloaded && new OffloadedBlocks(module, offloaded, device, options);
  }

  /** Whether weights are held, or on their way. */
  get isLoaded(): boolean {
    return this.#loading !== undefined;
  }

  /**
   * Compares every tensor's name, shape and dtype with the module's, reading no values.
   *
   * @throws {HubError}, {SafetensorsError}, {StateError}
   */
  async check(): Promise<void> {
    using source = await openWeights(await this.#component.weights());
    checkParameters(this.module, source, this.#options);
  }

  /**
   * Reads the weights, unless they are held already.
   *
   * @throws {DisposedError}, {HubError}, {SafetensorsError}, {StateError}; the model holds nothing then.
   */
  async load(): Promise<void> {
    if (this.#disposed) throw new DisposedError(this.#component.name);
    this.#loading ??= this.#read();
    await this.#loading;
  }

  /**
   * Reads the weights, unless they are held already, and keeps them until the result is disposed.
   * Settle what was computed with them first: operations under way hold the weights they read.
   *
   * @throws as {@link WeightedModel.load} does.
   */
  async borrow(): Promise<BorrowedModel<M>> {
    this.#borrowers++;
    let returned = false;
    const giveBack = (): void => {
      if (returned) return;
      returned = true;
      this.#borrowers--;
      if (this.#options.onDemand && this.#borrowers === 0) this.#release();
    };
    try {
      await this.load();
    } catch (error) {
      giveBack();
      throw error;
    }
    return { module: this.module, [Symbol.dispose]: giveBack };
  }

  /** Lets go of the weights for good. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#release();
    this.#blocks?.[Symbol.dispose]();
  }

  #release(): void {
    this.#loading = undefined;
    this.module.dispose();
  }

  async #read(): Promise<void> {
    try {
      using source = await openWeights(await this.#component.weights());
      if (this.#disposed) throw new DisposedError(this.#component.name);
      const { device = "cpu" } = this.#options;
      loadParameters(
        this.module,
        this.#blocks?.source(source) ?? sourceOn(device, source),
        this.#blocks?.options(this.#options) ?? this.#options,
      );
    } catch (error) {
      this.#release();
      throw error;
    }
  }
}
