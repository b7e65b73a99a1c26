import { describe, expect, test } from "bun:test";
import { RankEnvironmentError } from "./errors.ts";
import { mpiLauncherOf } from "./mpi-launcher.ts";
import { joinRanks } from "./ranks.ts";

function refusalOf(env: Record<string, string>): unknown {
  try {
    return joinRanks({ env });
  } catch (error) {
    return error;
  }
}

describe("mpiLauncherOf", () => {
  test("tells launchers by their variables", () => {
    expect(mpiLauncherOf({ OMPI_COMM_WORLD_SIZE: "2", PMIX_RANK: "0" })).toBe("openmpi");
    expect(mpiLauncherOf({ PMI_SIZE: "2", SLURM_STEP_ID: "0" })).toBe("pmi");
    expect(mpiLauncherOf({ PMIX_RANK: "0", SLURM_STEP_ID: "0" })).toBe("any");
    expect(mpiLauncherOf({ SLURM_STEP_ID: "0", SLURM_NTASKS: "2" })).toBe("any");
    // A batch script of Slurm's.
    expect(mpiLauncherOf({ SLURM_PROCID: "0", SLURM_NTASKS: "2" })).toBeUndefined();
    expect(mpiLauncherOf({ RANK: "0", WORLD_SIZE: "2" })).toBeUndefined();
  });
});

describe("joinRanks", () => {
  test("refuses torchrun's variables alone, and says what is supported", () => {
    const env = { RANK: "1", WORLD_SIZE: "2", MASTER_ADDR: "10.0.0.1", MASTER_PORT: "29500" };
    const error = refusalOf(env);
    if (!(error instanceof RankEnvironmentError)) throw new Error(`expected a refusal, got ${String(error)}`);
    expect(error.code).toBe("unsupported");
    expect(error.message).toStartWith("RANK=1, WORLD_SIZE=2, MASTER_ADDR=10.0.0.1: ");
    expect(error.message).toContain("mpirun or srun");
  });

  test("takes a run of one for no run where nobody connects it", () => {
    expect(joinRanks({ env: { RANK: "0", WORLD_SIZE: "1" } })).toBeUndefined();
    expect(joinRanks({ env: {} })).toBeUndefined();
    const task = { SLURM_STEP_ID: "0", SLURM_PROCID: "0", SLURM_NTASKS: "1" };
    expect(joinRanks({ env: task })).toBeUndefined();
    expect(joinRanks({ env: { ...task, PMI_RANK: "0", PMI_SIZE: "1" } })).toBeUndefined();
    expect(joinRanks({ env: { SLURM_PROCID: "0", SLURM_NTASKS: "8" } })).toBeUndefined();
  });

  test("refuses launchers that disagree about the rank", () => {
    const env = { OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "2", PMI_RANK: "0", PMI_SIZE: "2" };
    const error = refusalOf(env);
    expect(error instanceof RankEnvironmentError && error.code).toBe("disagreement");
  });

  test("refuses a launcher that doesn't say how many ranks there are", () => {
    const error = refusalOf({ PMI_PORT: "host:1234", PMI_ID: "0" });
    expect(error instanceof RankEnvironmentError && error.code).toBe("incomplete");
    expect(String(error)).toContain("start without -pmi-port");
  });

  test("refuses a launcher whose descriptor has been closed on the way", () => {
    const place = { PMI_RANK: "0", PMI_SIZE: "2" };
    for (const descriptor of ["999", "0x1"]) {
      const error = refusalOf({ ...place, PMI_FD: descriptor });
      expect(error instanceof RankEnvironmentError && error.code).toBe("unsupported");
      expect(String(error)).toContain(`PMI_FD=${descriptor}: a program between`);
    }
  });

  test("refuses a library that can't be opened, naming it and the variable", () => {
    const env = {
      OMPI_COMM_WORLD_RANK: "0",
      OMPI_COMM_WORLD_SIZE: "2",
      WAN_MPI_LIBRARY: "/nowhere/libmpi.so",
    };
    expect(refusalOf(env)).toMatchObject({ name: "CollectiveError", code: "startUp", rank: 0 });
    expect(String(refusalOf(env))).toContain("WAN_MPI_LIBRARY=/nowhere/libmpi.so: ");
  });
});
