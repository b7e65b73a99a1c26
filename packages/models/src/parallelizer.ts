import type { AttentionDispatcher } from "@wan-ts/attention";
import type { ContextParallelPlan, ModuleNode } from "@wan-ts/nn";
import type { Tensor } from "@wan-ts/tensor";

/** How many ways a model is split; what is left out, whoever splits it chooses. */
export interface ParallelDegrees {
  /** Ways to share out heads. */
  readonly ulyssesDegree?: number | undefined;
  /** Ways to share out keys and values in a ring. */
  readonly ringDegree?: number | undefined;
  /** Whether the prompt and the negative prompt are worked on apart. */
  readonly cfgParallel?: boolean | undefined;
  /** Whether attention may give a row other last bits depending on what it is computed with. */
  readonly allowRowVariant?: boolean | undefined;
}

/** What a model tells whoever splits it. */
export interface ParallelModel {
  readonly root: ModuleNode;
  readonly plan: ContextParallelPlan;
  readonly attention: AttentionDispatcher;
  /** Of self-attention. */
  readonly heads: number;
}

/** The passes with and without the prompt, worked on apart. */
export interface PromptBranches {
  /** Which pass is this process's: 0 with the prompt, 1 with the negative one. */
  readonly index: 0 | 1;
  /** This process's output and the other's, in the order of passes; `own` stays the caller's. */
  gather(own: Tensor): [Tensor, Tensor];
}

/** A model that is split; disposing it makes the model whole again. */
export interface Parallelism extends Disposable {
  readonly branches: PromptBranches | undefined;
}

/** Splits models; a model is handed one and doesn't know what it splits over. */
export interface Parallelizer {
  /** Splits a model, with or without weights. */
  enable(model: ParallelModel, degrees: ParallelDegrees): Parallelism;
}
