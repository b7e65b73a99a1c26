import type { ProcessGroup } from "@wan-ts/distributed";
import type { ContextParallelDegrees } from "./config.ts";

/** A rank's place along each axis. */
export interface MeshCoordinates {
  readonly cfg: number;
  readonly ring: number;
  readonly ulysses: number;
}

/** The axes of a mesh; `sequence` is ring and ulysses together: the ranks that share one video's tokens. */
export type MeshAxis = "cfg" | "ring" | "ulysses" | "sequence";

/**
 * Ranks laid out along prompts, ring and heads: rank = (cfg · ring + ring's place) · ulysses + ulysses'
 * place. Ranks that exchange most are next to each other.
 */
export class DeviceMesh {
  readonly degrees: ContextParallelDegrees;

  constructor(degrees: ContextParallelDegrees) {
    this.degrees = degrees;
  }

  /** The number of ranks. */
  get size(): number {
    const { cfg, ring, ulysses } = this.degrees;
    return cfg * ring * ulysses;
  }

  /** Where `rank` is. */
  coordinatesOf(rank: number): MeshCoordinates {
    const { ring, ulysses } = this.degrees;
    return {
      cfg: Math.floor(rank / (ring * ulysses)),
      ring: Math.floor(rank / ulysses) % ring,
      ulysses: rank % ulysses,
    };
  }

  /** All groups along an axis, which together are all ranks; each in the order of the axis. */
  groupsAlong(axis: MeshAxis): number[][] {
    const groups = new Map<string, number[]>();
    for (let rank = 0; rank < this.size; rank++) {
      const { cfg, ring, ulysses } = this.coordinatesOf(rank);
      const fixed = { cfg: [ring, ulysses], ring: [cfg, ulysses], ulysses: [cfg, ring], sequence: [cfg] }[
        axis
      ];
      const name = fixed.join();
      groups.set(name, [...(groups.get(name) ?? []), rank]);
    }
    return [...groups.values()];
  }
}

/** This process's groups of a mesh; an axis of one rank has none. */
export interface MeshGroups {
  readonly mesh: DeviceMesh;
  readonly coordinates: MeshCoordinates;
  readonly cfg: ProcessGroup | undefined;
  readonly ring: ProcessGroup | undefined;
  readonly ulysses: ProcessGroup | undefined;
  readonly sequence: ProcessGroup | undefined;
}

/** Makes the groups. All ranks of `world` do so at the same time, with the same mesh. */
export function makeGroups(mesh: DeviceMesh, world: ProcessGroup): MeshGroups {
  const along = (axis: MeshAxis): ProcessGroup | undefined => {
    const groups = mesh.groupsAlong(axis);
    // One of its own where it is all ranks, too: the ledger then tells what the axis exchanged.
    return groups[0]?.length === 1 ? undefined : world.split(axis, groups);
  };
  const [cfg, ring, ulysses] = [along("cfg"), along("ring"), along("ulysses")];
  const sequence = ring && ulysses ? along("sequence") : (ring ?? ulysses);
  return { mesh, coordinates: mesh.coordinatesOf(world.index), cfg, ring, ulysses, sequence };
}
