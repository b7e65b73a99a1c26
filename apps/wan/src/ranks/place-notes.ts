import type { Ranks } from "@wan-ts/distributed";
import { Module, type ModuleNode } from "@wan-ts/nn";
import type { Stage } from "@wan-ts/wan";

/** Stages as messages about a rank name them, after "at". */
const places: Readonly<Record<Stage, string>> = {
  encodePrompt: "prompt encoding",
  encodeImage: "image encoding",
  encodeCondition: "first frame encoding",
  denoise: "step 1",
  decode: "decoding",
};

/** Publishes where a rank is, for messages about it: its stage, its step, its transformer block. */
export class PlaceNotes implements Disposable {
  readonly #ranks: Pick<Ranks, "note"> | undefined;
  readonly #hooks = new DisposableStack();
  #place = "";

  /** @param ranks undefined for a process alone, of which nobody asks. */
  constructor(ranks: Pick<Ranks, "note"> | undefined) {
    this.#ranks = ranks;
  }

  /** The rank does something outside of the pipeline's stages, such as `loading`. */
  note(place: string): void {
    this.#place = place;
    this.#ranks?.note(place);
  }

  /** A stage of the pipeline began. */
  stageStarted(stage: Stage): void {
    this.note(places[stage]);
  }

  /** A step ended, and the next begins unless it was the last. */
  stepEnded({ step, steps }: { readonly step: number; readonly steps: number }): void {
    if (step < steps) this.note(`step ${step + 1}`);
  }

  /** Tells of the blocks of a transformer from now on, by their numbers in the checkpoint, until disposed. */
  watchBlocks(transformer: ModuleNode | undefined): void {
    if (!this.#ranks || !transformer) return;
    for (const [name, module] of transformer.namedModules()) {
      const block = /^blocks\.(\d+)$/.exec(name)?.[1];
      if (block === undefined || !(module instanceof Module)) continue;
      const before = (): void => this.#ranks?.note(`${this.#place}, block ${block}`);
      this.#hooks.defer(module.hooks.add({ name: "placeNotes", before }));
    }
  }

  [Symbol.dispose](): void {
    this.#hooks.dispose();
  }
}
