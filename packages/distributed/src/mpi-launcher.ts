import { fstatSync } from "node:fs";
import { RankEnvironmentError } from "./errors.ts";
import { type RankPlace, slurmStep } from "./resolve-rank.ts";

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
  if (env.PMIX_RANK !== undefined || env[slurmStep] !== undefined) return "any";
  return undefined;
}

/**
 * Refuses a launcher that says how to reach it and not how many ranks there are: a library that doesn't
 * reach it would start every rank as a run of its own, and nobody would notice.
 *
 * @throws {RankEnvironmentError} `incomplete`.
 */
export function refuseUnknownSize(env: Readonly<Record<string, string | undefined>>): void {
  const { PMI_PORT: port, PMI_SIZE: size } = env;
  if (port === undefined || size !== undefined) return;
  const expected = "PMI_SIZE is missing, the number of ranks; start without -pmi-port";
  throw new RankEnvironmentError("incomplete", { PMI_PORT: port }, expected);
}

/**
 * The launcher that connects a process whose place is known.
 *
 * @throws {RankEnvironmentError} `unsupported` where there is none, or this process can't speak to it:
 * variables in the style of torchrun alone name a meeting point whose protocol isn't spoken here, and a
 * descriptor that PMI goes through doesn't outlive `bun run`.
 */
export function requireMpiLauncher(
  env: Readonly<Record<string, string | undefined>>,
  place: RankPlace,
): MpiLauncher {
  const launcher = mpiLauncherOf(env);
  const { PMI_FD: descriptor } = env;
  if (launcher === "pmi" && descriptor !== undefined && !isSocket(descriptor)) {
    const expected =
      "a program between the launcher and this one has closed that descriptor, as `bun run` does; have the " +
      "launcher start bun with the program's file itself, such as bun apps/wan/src/main.ts";
    throw new RankEnvironmentError("unsupported", { PMI_FD: descriptor }, expected);
  }
  if (launcher !== undefined) return launcher;
  const found = { RANK: env.RANK, WORLD_SIZE: env.WORLD_SIZE, MASTER_ADDR: env.MASTER_ADDR };
  const given = Object.entries(found).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const expected =
    `these say which of ${place.worldSize} ranks this is, and not how to reach the others; on one machine ` +
    "ranks are started by --nproc or launchRanks, on several by mpirun or srun over MPI; torchrun's own " +
    "meeting point isn't supported";
  throw new RankEnvironmentError("unsupported", Object.fromEntries(given), expected);
}

function isSocket(descriptor: string): boolean {
  try {
    return fstatSync(Number(descriptor)).isSocket();
  } catch {
    return false;
  }
}
