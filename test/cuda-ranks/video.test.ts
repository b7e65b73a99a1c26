import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { openWeights } from "@wan-ts/hub";
import { z } from "zod";
import { type Collectives, collectivesSchema, plannedCollectives } from "../app/collectives.ts";
import { expectFailure, runApp, TemporaryFolder } from "../app/run-app.ts";
import { relativeDistance } from "../fixture-cases.ts";
import { connected, environmentOf, type Machine, shared } from "./devices.ts";

/** As small as heads and tokens can be shared out over three ranks; guidance as the model's defaults have it. */
const size = ["--device", "cuda", "--height", "32", "--width", "48", "--steps", "1", "--dtype"] as const;
/** As many as take the VAE two turns. */
const frames = ["--frames", "5"] as const;
const oneFrame = ["--frames", "1"] as const;

const reportSchema = z.object({
  device: z.string(),
  deviceCollectives: z
    .object({ kind: z.string(), version: z.string().optional(), reason: z.string().optional() })
    .optional(),
  ranks: z.array(z.object({ collectives: collectivesSchema })),
});
type Run = z.infer<typeof reportSchema> & {
  readonly latents: Buffer;
  readonly video: Buffer;
  readonly values: Float32Array;
};

async function app(machine: Machine, folder: TemporaryFolder, ...flags: readonly string[]): Promise<unknown> {
  const env = environmentOf(machine);
  const { status, stdout, stderr } = await runApp(folder.path, flags, { env });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
}

async function run(machine: Machine, dtype: string, ...flags: readonly string[]): Promise<Run> {
  using folder = new TemporaryFolder();
  const wishes = [...size, dtype, "--quiet", "--json", "--save-latents", "latents"];
  const report = reportSchema.parse(await app(machine, folder, ...wishes, ...flags));
  const path = folder.file("latents");
  using source = await openWeights({ folder: path, variant: undefined, files: [path], index: undefined });
  using latents = source.tensor("latents");
  return {
    ...report,
    latents: readFileSync(path),
    video: readFileSync(folder.file("out.mp4")),
    values: await latents.floats(),
  };
}

function expectSame(found: Run, expected: Run): void {
  expect(found.latents.equals(expected.latents), "latents").toBe(true);
  expect(found.video.equals(expected.video), "video").toBe(true);
}

const viaMachine = { kind: "staged", reason: "ranks 0 and 1 share a device" };
const viaNccl = { kind: "nccl", version: "2.30.7" };

describe("a video over ranks on CUDA devices has the bytes of one process", () => {
  for (const split of [
    [...frames, "--nproc", "2", "--parallel-text-encoder"],
    [...oneFrame, "--nproc", "3"],
    [...oneFrame, "--nproc", "2", "--cfg-parallel"],
  ]) {
    test(`either way, and exchanges what a plan says: ${split.join(" ")}`, async () => {
      const alone = await run(connected, "float32", ...split.slice(0, 2));
      expect(alone.device).toBe("cuda:0");
      expect(alone.deviceCollectives).toBeUndefined();
      const staged = await run(shared, "float32", ...split);
      expect(staged.deviceCollectives).toEqual(viaMachine);
      expectSame(staged, alone);
      const direct = await run(connected, "float32", ...split);
      expect(direct.deviceCollectives).toEqual(viaNccl);
      expectSame(direct, alone);
      const counted = await planned("float32", ...split);
      expect(staged.ranks.map(({ collectives }) => collectives)).toEqual(counted);
      expect(direct.ranks.map(({ collectives }) => collectives)).toEqual(counted);
    });
  }

  test("in bfloat16", async () => {
    const alone = await run(connected, "bfloat16", ...oneFrame);
    expectSame(await run(connected, "bfloat16", ...oneFrame, "--nproc", "2"), alone);
  });

  test("but for a ring, which is near them, and has the same by either way", async () => {
    const flags = [...oneFrame, "--guidance-scale", "1"];
    const alone = await run(connected, "float32", ...flags);
    const staged = await run(shared, "float32", ...flags, "--nproc", "2", "--ring", "2");
    const direct = await run(connected, "float32", ...flags, "--nproc", "2", "--ring", "2");
    expectSame(direct, staged);
    expect(relativeDistance(direct.values, alone.values)).toBeLessThan(1e-6);
  });
});

/** What each rank exchanges by kind, as `plan` tells it. */
async function planned(dtype: string, ...flags: readonly string[]): Promise<Collectives[]> {
  using folder = new TemporaryFolder();
  return plannedCollectives(await app(connected, folder, "plan", "--json", ...size, dtype, ...flags));
}

describe("WAN_CUDA_COLLECTIVES", () => {
  test("staged goes through the machine where NCCL could be used", async () => {
    process.env.WAN_CUDA_COLLECTIVES = "staged";
    try {
      const { deviceCollectives } = await run(connected, "float32", ...oneFrame, "--nproc", "2");
      expect(deviceCollectives).toEqual({ kind: "staged", reason: "WAN_CUDA_COLLECTIVES says so" });
    } finally {
      delete process.env.WAN_CUDA_COLLECTIVES;
    }
  });

  test("nccl is refused where there is none, or a device for two ranks", async () => {
    for (const [machine, told] of [
      [{ devices: 3, nccl: false }, "rank 0 has no NCCL"],
      [shared, "ranks 0 and 1 share a device"],
    ] as const) {
      await expectFailure(
        1,
        [...size, "float32", ...oneFrame, "--nproc", "2"],
        [`WAN_CUDA_COLLECTIVES=nccl, but ${told}`],
        { ...environmentOf(machine), WAN_CUDA_COLLECTIVES: "nccl" },
      );
    }
  });
});
