import { RankEnvironmentError } from "./errors.ts";
import type { RankPlace } from "./resolve-rank.ts";

/** Names the MPI library in place of those that fit the launcher: a path, or what the loader knows. */
export const mpiLibraryVariable = "WAN_MPI_LIBRARY";

/**
 * Launchers by what an MPI library must be to speak to them: Open MPI's own, those that speak PMI
 * (MPICH's, `srun --mpi=pmi2`), and those that more than one kind speaks to (`srun --mpi=pmix`).
 */
export type MpiLauncher = "openmpi" | "pmi" | "any";

/** Which MPI launcher started this process; undefined where none did. */
export function mpiLauncherOf(env: Readonly<Record<string, string | undefined>>): MpiLauncher | undefined {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return "openmpi";
  if (env.PMI_SIZE !== undefined) return "pmi";
  if (env.PMIX_RANK !== undefined || env.SLURM_PROCID !== undefined) return "any";
  return undefined;
}

/**
 * The launcher that connects a process whose place is known.
 *
 * @throws {RankEnvironmentError} `unsupported` where there is none: variables in the style of torchrun
 * alone name a meeting point whose protocol isn't spoken here.
 */
export function requireMpiLauncher(
  env: Readonly<Record<string, string | undefined>>,
  place: RankPlace,
): MpiLauncher {
  const launcher = mpiLauncherOf(env);
  if (launcher !== undefined) return launcher;
  const found = { RANK: env.RANK, WORLD_SIZE: env.WORLD_SIZE, MASTER_ADDR: env.MASTER_ADDR };
  const given = Object.entries(found).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const expected =
    `these say which of ${place.worldSize} ranks this is, and not how to reach the others; on one machine ` +
    "ranks are started by --nproc or launchRanks, on several by mpirun or srun over MPI; torchrun's own " +
    "meeting point isn't supported";
  throw new RankEnvironmentError("unsupported", Object.fromEntries(given), expected);
}
