/** An MPI launcher of this machine. */
export interface MpiInstallation {
  /** As messages call it. */
  readonly name: string;
  /** As `test/hosts/two-hosts.sh` calls it. */
  readonly kind: "open-mpi" | "mpich";
  /** The command that starts `ranks` ranks of what follows it; undefined where it isn't installed. */
  readonly command: ((ranks: number) => readonly string[]) | undefined;
}

function find(names: readonly string[], sign: string): string | undefined {
  return names.find((name) => {
    if (Bun.which(name) === null) return false;
    const { stdout } = Bun.spawnSync([name, "--version"], { stderr: "ignore" });
    return stdout.toString().includes(sign);
  });
}

/** Both kinds of MPI, where they are installed. */
export function mpiInstallations(): readonly MpiInstallation[] {
  const openMpi = find(["mpirun.openmpi", "mpirun"], "Open MPI");
  const mpich = find(["mpiexec.mpich", "mpiexec.hydra", "mpiexec"], "HYDRA");
  return [
    {
      name: "Open MPI",
      kind: "open-mpi",
      // On fewer cores than ranks too.
      command: openMpi ? (ranks) => [openMpi, "--oversubscribe", "-n", `${ranks}`] : undefined,
    },
    { name: "MPICH", kind: "mpich", command: mpich ? (ranks) => [mpich, "-n", `${ranks}`] : undefined },
  ];
}

/** Variables without which Open MPI's launcher refuses to run in containers, whose user is root. */
export const asRoot = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
