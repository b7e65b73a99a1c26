import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { z } from "zod";
import { collectivesSchema, plannedCollectives } from "./app/collectives.ts";
import { runApp, TemporaryFolder } from "./app/run-app.ts";

const steps = 2;
/** Of wan-tiny. */
const blocks = 6;
/** With the prompt, and with the negative one. */
const passes = 2 * steps;

const reportSchema = z.object({
  ranks: z.array(z.object({ rank: z.int(), collectives: collectivesSchema })),
  collectives: z.record(z.string(), z.object({ groups: collectivesSchema })),
});
type Run = z.infer<typeof reportSchema> & {
  readonly video: Buffer;
  readonly latents: Buffer;
};

const size = ["--height", "48", "--width", "80", "--frames", "13", "--steps", `${steps}`];

async function app(folder: TemporaryFolder, ...flags: string[]): Promise<unknown> {
  const { status, stdout, stderr } = await runApp(folder.path, flags);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as unknown;
}

function run(...flags: string[]): Promise<Run> {
  return runWith([...size, ...flags]);
}

async function runWith(flags: readonly string[]): Promise<Run> {
  using folder = new TemporaryFolder();
  const report = await app(folder, "--quiet", "--json", "--save-latents", "latents", ...flags);
  const path = folder.file("latents");
  return {
    ...reportSchema.parse(report),
    video: readFileSync(folder.file("out.mp4")),
    latents: readFileSync(path),
  };
}

describe("a video over ranks", () => {
  for (const dtype of ["float32", "bfloat16"]) {
    test(`has the same bytes with 1, 2, 3 and 4 ranks that share heads: ${dtype}`, async () => {
      const alone = await run("--dtype", dtype);
      expect(alone.collectives).toEqual({});
      for (const ranks of [2, 3, 4]) {
        const shared = await run("--dtype", dtype, "--nproc", `${ranks}`, "--parallel-text-encoder");
        expect(shared.latents.equals(alone.latents), `latents of ${ranks} ranks`).toBe(true);
        expect(shared.video.equals(alone.video), `video of ${ranks} ranks`).toBe(true);
        expect(shared.ranks.map(({ rank }) => rank)).toEqual(
          Array.from({ length: ranks }, (_, rank) => rank),
        );
        // Two a block and pass: cross-attention has none.
        expect(shared.collectives["all-to-all"]?.groups).toEqual({
          ulysses: expect.objectContaining({ count: 2 * blocks * passes }),
        });
      }
    });

    test(`has the same bytes with a prompt a rank: ${dtype}`, async () => {
      const alone = await run("--dtype", dtype);
      const shared = await run("--dtype", dtype, "--nproc", "2", "--cfg-parallel");
      expect(shared.latents.equals(alone.latents)).toBe(true);
      expect(shared.video.equals(alone.video)).toBe(true);
      expect(shared.collectives["all-to-all"]).toBeUndefined();
    });
  }

  for (const dtype of ["float32", "bfloat16"]) {
    test(`has the same bytes by a ring, and by ring and heads: ${dtype}`, async () => {
      const alone = await run("--dtype", dtype);
      for (const ring of [
        ["--nproc", "2", "--ring", "2"],
        ["--nproc", "3", "--ring", "3"],
        ["--nproc", "4", "--ring", "2", "--ulysses", "2"],
      ]) {
        const shared = await run("--dtype", dtype, ...ring);
        expect(shared.latents.equals(alone.latents), `latents of ${ring.join(" ")}`).toBe(true);
        expect(shared.video.equals(alone.video), `video of ${ring.join(" ")}`).toBe(true);
        expect(shared.collectives["send-receive"]?.groups).toHaveProperty("ring");
      }
    });
  }

  test("has the same bytes by a ring at the model's own size", async () => {
    const alone = await runWith(["--dtype", "float32"]);
    const shared = await runWith(["--dtype", "float32", "--nproc", "3", "--ring", "3"]);
    expect(shared.latents.equals(alone.latents)).toBe(true);
  });
});

test("a plan tells every collective and byte that the ledger of the run has", async () => {
  for (const flags of [
    ["--nproc", "3"],
    ["--nproc", "4", "--ring", "2", "--ulysses", "2", "--parallel-text-encoder"],
    ["--nproc", "2", "--cfg-parallel"],
  ]) {
    using folder = new TemporaryFolder();
    const planned = plannedCollectives(await app(folder, "plan", ...size, "--json", ...flags));
    const { ranks } = await run(...flags);
    expect(ranks.map(({ collectives }) => collectives)).toEqual(planned);
  }
});
