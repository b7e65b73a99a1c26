import type { AttentionDispatcher } from "@wan-ts/attention";
import type { ProcessGroup } from "@wan-ts/distributed";
import { type ContextParallelPlan, Module, type ModuleNode } from "@wan-ts/nn";
import type { Device, Tensor } from "@wan-ts/tensor";
import { checkPlan } from "./check-plan.ts";
import { type ContextParallelOptions, chooseDegrees } from "./config.ts";
import { type AttentionOverRanks, addHooks, hookName } from "./hooks.ts";
import { DeviceMesh, type MeshGroups, makeGroups } from "./mesh.ts";
import { requireAttentionOver } from "./require-attention.ts";
import { ringAttention } from "./ring.ts";
import { SplitSequence } from "./sequence.ts";
import { ulyssesAttention } from "./ulysses.ts";

/** What a model tells of itself: nothing more is known of it. */
export interface ContextParallelModel {
  readonly root: ModuleNode;
  readonly plan: ContextParallelPlan;
  /** Where its attention goes. */
  readonly attention: AttentionDispatcher;
  /** Of its self-attention. */
  readonly heads: number;
}

/** A model that is split; disposing it removes every hook. */
export interface ContextParallelism extends Disposable {
  readonly mesh: DeviceMesh;
  /** The passes with the prompt and with the negative one, where ranks share them out. */
  readonly branches:
    | { readonly index: 0 | 1; readonly gather: (own: Tensor) => [Tensor, Tensor] }
    | undefined;
}

/** What is needed of a run's ranks. */
export interface RanksOfRun {
  readonly world: ProcessGroup;
  /** Has what `body` computes put where other ranks read it directly, where there is such memory. */
  readonly inSharedMemory?: <T>(body: () => T) => T;
  /** Connects the ranks' CUDA devices, before groups are made. */
  readonly connectDevice?: (device: Device) => unknown;
}

/** Splits models over the ranks of a run, all of which do the same at the same time. */
export class ContextParallelizer {
  readonly #ranks: RanksOfRun | undefined;
  readonly #groups = new Map<string, MeshGroups>();

  /** @param ranks by default this process alone. */
  constructor(ranks?: RanksOfRun) {
    this.#ranks = ranks;
  }

  /**
   * Splits a model, whether its weights are there or not.
   *
   * @throws {ContextParallelError} for degrees that don't fit the ranks or the heads, and a plan that
   * doesn't fit the model; `attention` where a ring needs a log-sum-exp that the backend doesn't give, or
   * heads are shared out, which promises the same bytes, and the backend isn't `rowInvariant`.
   */
  enable(model: ContextParallelModel, options: ContextParallelOptions): ContextParallelism {
    const worldSize = this.#ranks?.world.size ?? 1;
    const mesh = new DeviceMesh(chooseDegrees(options, { worldSize, heads: model.heads }));
    const matched = checkPlan(model.root, model.plan);
    const undo = new DisposableStack();
    try {
      undo.defer(requireAttentionOver(model.attention, mesh.degrees, options));
      if (!this.#ranks) return { mesh, branches: undefined, [Symbol.dispose]: () => undo.dispose() };
      const groups = this.#groupsOf(mesh, this.#ranks.world);
      if (groups.sequence) {
        const sequence = new SplitSequence(groups.sequence);
        const { attention: dispatcher } = model;
        const takesPieces = (): boolean => dispatcher.backend.keysInPieces ?? false;
        const attention = attentionOverRanks(groups, sequence, takesPieces);
        const ranks = this.#ranks;
        undo.defer(
          addHooks(matched, sequence, attention, (compute) =>
            ranks.inSharedMemory ? ranks.inSharedMemory(compute) : compute(),
          ),
        );
        if (model.root instanceof Module) {
          undo.defer(model.root.hooks.add({ name: hookName, before: () => sequence.reset() }));
        }
      }
      return { mesh, branches: branchesOf(groups), [Symbol.dispose]: () => undo.dispose() };
    } catch (error) {
      undo.dispose();
      throw error;
    }
  }

  /** Groups serve every model that is split in the same way. */
  #groupsOf(mesh: DeviceMesh, world: ProcessGroup): MeshGroups {
    const { cfg, ring, ulysses } = mesh.degrees;
    const name = `${cfg} × ${ring} × ${ulysses}`;
    const made = this.#groups.get(name) ?? makeGroups(mesh, world);
    this.#groups.set(name, made);
    return made;
  }
}

function attentionOverRanks(
  groups: MeshGroups,
  sequence: SplitSequence,
  takesPieces: () => boolean,
): AttentionOverRanks {
  const { ring, ulysses, coordinates } = groups;
  const degree = ulysses?.size ?? 1;
  const ofRing = (place: number): readonly number[] =>
    sequence.sizes.slice(place * degree, (place + 1) * degree);
  const round =
    ring &&
    ringAttention(
      ring,
      () => ring.members.map((_, place) => ofRing(place).reduce((sum, size) => sum + size, 0)),
      takesPieces,
    );
  if (ulysses) return ulyssesAttention(ulysses, () => ofRing(coordinates.ring), round);
  return round ?? ((call, attend) => attend(call));
}

function branchesOf({ cfg }: MeshGroups): ContextParallelism["branches"] {
  if (!cfg) return undefined;
  return {
    index: cfg.index === 0 ? 0 : 1,
    gather: (own) => {
      const samples = own.size(0);
      using both = cfg.allGather(own);
      return [both.slice(0, 0, samples), both.slice(0, samples, 2 * samples)];
    },
  };
}
