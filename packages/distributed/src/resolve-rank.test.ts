import { describe, expect, test } from "bun:test";
import { RankEnvironmentError } from "./errors.ts";
import { resolveRank } from "./resolve-rank.ts";

const environments = {
  torchrun: { RANK: "2", WORLD_SIZE: "4", LOCAL_RANK: "0" },
  openmpi: { OMPI_COMM_WORLD_RANK: "2", OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_LOCAL_RANK: "0" },
  pmi: { PMI_RANK: "2", PMI_SIZE: "4", MPI_LOCALRANKID: "0" },
  slurm: { SLURM_STEP_ID: "0", SLURM_PROCID: "2", SLURM_NTASKS: "4", SLURM_LOCALID: "0" },
} as const;

function failure(env: Record<string, string>, flags = {}): RankEnvironmentError {
  try {
    resolveRank(env, flags);
  } catch (error) {
    if (error instanceof RankEnvironmentError) return error;
  }
  throw new Error("expected a RankEnvironmentError");
}

describe("resolveRank", () => {
  for (const [source, env] of Object.entries(environments)) {
    test(`reads the variables of ${source}`, () => {
      expect(resolveRank(env)).toEqual({ rank: 2, worldSize: 4, localRank: 0, source } as never);
    });
  }

  test("takes flags, RANK, Open MPI, PMI and Slurm in this order where they agree", () => {
    const { torchrun, openmpi, pmi, slurm } = environments;
    const flags = { rank: 2, worldSize: 4 };
    const all = { ...slurm, ...pmi, ...openmpi, ...torchrun };
    expect(resolveRank(all, flags)?.source).toBe("flags");
    expect(resolveRank(all)?.source).toBe("torchrun");
    expect(resolveRank({ ...slurm, ...pmi, ...openmpi })?.source).toBe("openmpi");
    expect(resolveRank({ ...slurm, ...pmi })?.source).toBe("pmi");
  });

  test("refuses two that disagree, naming both", () => {
    const error = failure({ ...environments.torchrun, ...environments.pmi, PMI_RANK: "3" });
    expect(error.code).toBe("disagreement");
    expect(error.message).toStartWith("RANK=2, WORLD_SIZE=4, PMI_RANK=3, PMI_SIZE=4: they disagree");
    expect(failure(environments.slurm, { rank: 2, worldSize: 8 }).code).toBe("disagreement");
  });

  test("refuses what is incomplete or no rank", () => {
    expect(failure({ RANK: "1" }).message).toBe("RANK=1: WORLD_SIZE is missing");
    expect(failure({ PMI_SIZE: "2" }).message).toBe("PMI_SIZE=2: PMI_RANK is missing");
    for (const [rank, size] of [
      ["4", "4"],
      ["-1", "4"],
      ["one", "4"],
      ["0", "0"],
      ["0.5", "2"],
    ] as const) {
      expect(failure({ RANK: rank, WORLD_SIZE: size }).code).toBe("invalid");
    }
    expect(failure({ RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "2" }).found).toEqual({ LOCAL_RANK: "2" });
  });

  test("is silent where nobody says, and in a batch script outside of a step", () => {
    expect(resolveRank({})).toBeUndefined();
    expect(resolveRank({ SLURM_NTASKS: "8" })).toBeUndefined();
    const batchScript = { SLURM_PROCID: "0", SLURM_NTASKS: "8", SLURM_LOCALID: "0" };
    expect(resolveRank(batchScript)).toBeUndefined();
    expect(resolveRank({ ...batchScript, ...environments.openmpi })?.rank).toBe(2);
  });

  test("takes the place of a step that only started a launcher's daemons for none", () => {
    const daemon = { SLURM_STEP_ID: "0", SLURM_PROCID: "1", SLURM_NTASKS: "2", SLURM_LOCALID: "0" };
    for (const started of [environments.openmpi, environments.pmi]) {
      expect(resolveRank({ ...daemon, ...started })).toMatchObject({ rank: 2, worldSize: 4 });
    }
    expect(failure({ ...daemon, ...environments.torchrun }).code).toBe("disagreement");
  });
});
