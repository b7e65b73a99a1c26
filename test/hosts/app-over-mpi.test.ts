import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { asRoot, mpiInstallations } from "../../packages/distributed/test/mpi-launchers.ts";
import { runApp, TemporaryFolder } from "../app/run-app.ts";
import { twoHosts, twoHostsObstacle } from "./two-hosts.ts";

// 4 heads, and 3 rows of tokens: each number of ranks divides one of them alone.
const flags = ["--height", "48", "--width", "80", "--frames", "13", "--steps", "2", "--quiet"];
const longest = 90_000;

/** Hashes of what a run makes. */
interface Made {
  readonly video: string;
  readonly latents: string;
}

/** Runs the app by whatever starts it. */
async function make(command: readonly string[]): Promise<Made> {
  using folder = new TemporaryFolder();
  const [video, latents] = [folder.file("out.mp4"), folder.file("latents.safetensors")];
  const args = [...flags, "--output", video, "--save-latents", latents];
  const options = { command, env: asRoot, timeout: longest };
  const { status, stderr } = await runApp(folder.path, args, options);
  expect({ status, stderr }).toMatchObject({ status: 0 });
  const hash = (file: string): string => Bun.SHA256.hash(readFileSync(file), "hex");
  return { video: hash(video), latents: hash(latents) };
}

let alone: Made;
beforeAll(async () => {
  alone = await make([]);
});

const blocked = twoHostsObstacle();
for (const { name, kind, command } of mpiInstallations()) {
  const missing = command ? undefined : `${name} is not installed`;
  const titled = (title: string, reason: string | undefined): string =>
    reason === undefined ? title : `${title} (skipped: ${reason})`;

  describe(`the app under ${name}`, () => {
    for (const ranks of [2, 3]) {
      const title = titled(`makes one process's bytes with ${ranks} ranks`, missing);
      test.skipIf(missing !== undefined)(title, async () => {
        expect(await make(command?.(ranks) ?? [])).toEqual(alone);
      });
    }

    const reason = missing ?? blocked;
    test.skipIf(reason !== undefined)(titled("makes one process's bytes on two hosts", reason), async () => {
      expect(await make([twoHosts, kind, "1"])).toEqual(alone);
    });
  });
}
