import { beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { parseArguments, type Request } from "@wan-ts/app/src/arguments.ts";
import { joinRanks } from "@wan-ts/distributed";
import { z } from "zod";
import { TemporaryFolder } from "../app/run-app.ts";
import { documentText, root } from "./code-blocks.ts";

const page = "docs/ranks.md";
const examples = join(root, "docs/examples");
const app = "apps/wan/src/main.ts";

describe("refusals of environments", () => {
  /** Lines of the page's tables, with `…` for what it leaves out. */
  const lines = Array.from(documentText(page).matchAll(/^\| `([^`]+)` +\|/gm), ([, line = ""]) => line);
  const environments: readonly Record<string, string>[] = [
    { RANK: "1" },
    { RANK: "4", WORLD_SIZE: "4" },
    { RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "2" },
    { RANK: "0", WORLD_SIZE: "2", PMI_RANK: "1", PMI_SIZE: "2" },
    { PMI_PORT: "left:1234" },
    { PMI_RANK: "0", PMI_SIZE: "2", PMI_FD: "8888" },
    { RANK: "1", WORLD_SIZE: "2" },
  ];

  for (const env of environments) {
    test(`are on the page: ${JSON.stringify(env)}`, () => {
      let message = "";
      try {
        joinRanks({ env });
      } catch (error) {
        message = error instanceof Error ? error.message : "";
      }
      const told = lines.filter((line) =>
        message.startsWith(line.replace("PMI_FD=8:", "PMI_FD=8888:").replace(/…$/, "")),
      );
      expect({ message, told }).toEqual({ message, told: [expect.any(String)] });
    });
  }
});

describe("docs/examples/slurm.sh", () => {
  const script = join(examples, "slurm.sh");

  test("is a script that bash takes", () => {
    const { success, stderr } = Bun.spawnSync(["bash", "-n", script]);
    expect({ success, errors: stderr.toString() }).toEqual({ success: true, errors: "" });
  });

  test("plans the run and starts it by srun, with flags that the app has", async () => {
    using folder = new TemporaryFolder();
    // In place of srun and Bun: each tells of its arguments, a line each, and runs nothing.
    for (const name of ["srun", "bun"]) {
      const file = folder.file(name);
      await Bun.write(file, `#!/bin/sh\nprintf '%s\\n' ${name} "$@" end\n`);
      chmodSync(file, 0o755);
    }
    const job = {
      SLURM_SUBMIT_DIR: root,
      SLURM_JOB_ID: "7",
      SLURM_NTASKS: "4",
      SLURM_CPUS_PER_TASK: "16",
      PATH: `${folder.path}:${process.env.PATH}`,
    };
    const flags = ["--prompt", "a red ball", "--seed", "7"];
    const { success, stdout } = Bun.spawnSync(["bash", script, ...flags], { env: job });
    expect(success).toBe(true);
    const [plan = [], run = []] = stdout
      .toString()
      .split("end\n")
      .map((words) => words.split("\n").slice(0, -1));
    const main = join(root, app);
    expect(plan.slice(0, 3)).toEqual(["bun", main, "plan"]);
    expect(parseArguments(plan.slice(2))).toMatchObject({ command: "plan", ranks: 4 });
    expect(run[0]).toBe("srun");
    const start = run.indexOf(main);
    expect(run[start - 1]).toBe(folder.file("bun"));
    expect(parseArguments(run.slice(start + 1))).toMatchObject({
      command: "generate",
      flags: { prompt: "a red ball", seed: 7, output: { file: join(root, "wan-7.mp4") } },
    });
  });
});

describe("docs/examples/mpijob.yaml", () => {
  const pod = z.object({
    replicas: z.number(),
    template: z.object({
      spec: z.object({
        containers: z.tuple([z.object({ command: z.array(z.string()), args: z.array(z.string()) })]),
      }),
    }),
  });
  const manifest = z.object({
    apiVersion: z.literal("kubeflow.org/v2beta1"),
    kind: z.literal("MPIJob"),
    spec: z.object({
      slotsPerWorker: z.number(),
      mpiImplementation: z.literal("OpenMPI"),
      mpiReplicaSpecs: z.object({ Launcher: pod, Worker: pod }),
    }),
  });
  let job: z.infer<typeof manifest>["spec"];
  let request: Request;
  let launcher: readonly string[] = [];

  beforeAll(async () => {
    const text = await Bun.file(join(examples, "mpijob.yaml")).text();
    job = manifest.parse(Bun.YAML.parse(text)).spec;
    const [{ command, args }] = job.mpiReplicaSpecs.Launcher.template.spec.containers;
    const main = args.indexOf(app);
    launcher = [...command, ...args.slice(0, main)];
    request = parseArguments(args.slice(main + 1));
  });

  test("has as many slots as mpirun starts ranks", () => {
    expect(launcher[0]).toBe("mpirun");
    const ranks = Number(launcher[launcher.indexOf("-np") + 1]);
    expect(job.slotsPerWorker * job.mpiReplicaSpecs.Worker.replicas).toBe(ranks);
  });

  test("names flags that the app has, for that many ranks", () => {
    expect(launcher.at(-1)).toEndWith("/bun");
    expect(request).toMatchObject({ command: "generate", flags: { parallel: { ulysses: 2, cfg: true } } });
  });
});
