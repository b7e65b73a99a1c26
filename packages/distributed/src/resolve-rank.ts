import { RankEnvironmentError } from "./errors.ts";

/** Who says which rank this is. */
export type RankSource = "flags" | "torchrun" | "openmpi" | "pmi" | "slurm";

/** A process's place in a run. */
export interface RankPlace {
  readonly rank: number;
  readonly worldSize: number;
  /** The rank among those of this machine; the rank itself where nobody says. */
  readonly localRank: number;
  readonly source: RankSource;
}

interface Names {
  readonly source: RankSource;
  readonly rank: string;
  readonly size: string;
  readonly localRank: string;
}

/** In order of precedence, after flags. */
const variables: readonly Names[] = [
  { source: "torchrun", rank: "RANK", size: "WORLD_SIZE", localRank: "LOCAL_RANK" },
  {
    source: "openmpi",
    rank: "OMPI_COMM_WORLD_RANK",
    size: "OMPI_COMM_WORLD_SIZE",
    localRank: "OMPI_COMM_WORLD_LOCAL_RANK",
  },
  { source: "pmi", rank: "PMI_RANK", size: "PMI_SIZE", localRank: "MPI_LOCALRANKID" },
  { source: "slurm", rank: "SLURM_PROCID", size: "SLURM_NTASKS", localRank: "SLURM_LOCALID" },
];

const flagNames: Names = { source: "flags", rank: "--rank", size: "--world-size", localRank: "--local-rank" };

/** A variable of each step of a Slurm job, and not of its batch script. */
export const slurmStep = "SLURM_STEP_ID";

/**
 * The place that flags or a launcher's variables give this process: flags first, then `RANK`, Open
 * MPI, PMI (MPICH, Hydra) and Slurm. Undefined where nobody says: one process on its own.
 *
 * Slurm gives a place to each process of its jobs: a batch script is number 0 of all tasks, and the
 * daemons by which `mpirun` starts ranks are a step, whose numbers the ranks inherit. So Slurm's word
 * counts in a step alone, and where neither Open MPI nor PMI has one.
 *
 * @throws {RankEnvironmentError} where a source is incomplete or invalid, or two disagree about rank
 * or size.
 */
export function resolveRank(
  env: Readonly<Record<string, string | undefined>>,
  flags: { readonly rank?: number; readonly worldSize?: number; readonly localRank?: number } = {},
): RankPlace | undefined {
  const given = {
    "--rank": flags.rank?.toString(),
    "--world-size": flags.worldSize?.toString(),
    "--local-rank": flags.localRank?.toString(),
  };
  const said = [readPlace(given, flagNames), ...variables.map((names) => readPlace(env, names))].filter(
    (place) => place !== undefined,
  );
  const started = said.some(({ place }) => place.source === "openmpi" || place.source === "pmi");
  const [first, ...others] = said.filter(({ place }) => !started || place.source !== "slurm");
  for (const other of others) {
    if (other.place.rank !== first?.place.rank || other.place.worldSize !== first.place.worldSize) {
      throw new RankEnvironmentError(
        "disagreement",
        { ...first?.found, ...other.found },
        "they disagree; unset those of the launcher that didn't start this process",
      );
    }
  }
  return first?.place;
}

function readPlace(
  values: Readonly<Record<string, string | undefined>>,
  names: Names,
): { place: RankPlace; found: Record<string, string> } | undefined {
  if (names.source === "slurm" && values[slurmStep] === undefined) return undefined;
  const [rank, size] = [values[names.rank], values[names.size]];
  if (rank === undefined && size === undefined) return undefined;
  if (rank === undefined || size === undefined) {
    const [there, missing] = rank === undefined ? [names.size, names.rank] : [names.rank, names.size];
    throw new RankEnvironmentError("incomplete", { [there]: values[there] ?? "" }, `${missing} is missing`);
  }
  const found = { [names.rank]: rank, [names.size]: size };
  const worldSize = wholeNumber(size);
  const ownRank = wholeNumber(rank);
  if (worldSize === undefined || worldSize < 1 || ownRank === undefined || ownRank >= worldSize) {
    const expected = "the size must be a whole number of at least 1, and the rank one below it";
    throw new RankEnvironmentError("invalid", found, expected);
  }
  const local = values[names.localRank];
  const localRank = local === undefined ? ownRank : wholeNumber(local);
  if (localRank === undefined || localRank >= worldSize) {
    const expected = `it must be a whole number below ${names.size}=${size}`;
    throw new RankEnvironmentError("invalid", { [names.localRank]: local ?? "" }, expected);
  }
  return { place: { rank: ownRank, worldSize, localRank, source: names.source }, found };
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}
