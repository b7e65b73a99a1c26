import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DamagedModel, type StoredTensor } from "../app/damaged-model.ts";
import { canMount, mounted } from "../app/mounted-disk.ts";
import { expectOneLine, runApp, shortRun, TemporaryFolder } from "../app/run-app.ts";

const weight = "blocks.3.attn1.to_q.weight";
const transformer = "transformer/diffusion_pytorch_model.safetensors";

describe("a failure that ranks find", () => {
  test("weights that aren't finite: tensor and rank are named, and there is no video", async () => {
    using model = new DamagedModel();
    model.editTensors(transformer, (header, data) => {
      data.writeUInt16LE(0x7fc0, header[weight]?.data_offsets[0]);
    });
    using folder = new TemporaryFolder();
    const run = await runApp(folder.path, [...shortRun, "--nproc", "2", "--model", model.path]);
    expectOneLine(run, 1, [/^error: rank \d \(pid \d+\) failed at /, weight, "NaN"]);
    expect(folder.names).toEqual([]);
  });

  test.skipIf(!canMount())("a full disk on rank 0 leaves nothing there", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("disk"));
    const args = [...shortRun, "--nproc", "2", "--output", "disk/out.mp4"];
    const run = await runApp(folder.path, args, { command: mounted("size=4k", 4096) });
    expectOneLine(run, 1, [/^error: rank 0 \(pid \d+\) failed at writing/, "disk/out.mp4"]);
  });

  test("weights that don't fit are bad input, told by the launcher before there is a rank", async () => {
    using model = new DamagedModel();
    model.editTensors(transformer, (header) => {
      (header[weight] as StoredTensor).dtype = "I16";
    });
    using folder = new TemporaryFolder();
    const run = await runApp(folder.path, [...shortRun, "--nproc", "2", "--model", model.path]);
    expectOneLine(run, 2, [weight]);
    expect(run.stderr).not.toContain("rank");
  });

  test("ranks that are to make different videos, as their config gives each another", async () => {
    using folder = new TemporaryFolder();
    const config = "export default { seed: Number(process.env.RANK ?? 0), output: { quiet: true } };\n";
    await Bun.write(folder.file("wan.config.ts"), config);
    const run = await runApp(folder.path, [...shortRun, "--nproc", "2"]);
    expectOneLine(run, 1, ["seed is 1 on rank 1, and 0 on rank 0"]);
    expect(folder.names).toEqual(["wan.config.ts"]);
  });
});

describe("the lines of ranks other than 0", () => {
  const progress = ["--frames", "1", "--steps", "2", "--nproc", "3"];
  const lines = (text: string): string[] => text.trimEnd().split("\n");

  test("go to files that are gone after a success", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("tmp"));
    const run = await runApp(folder.path, progress, { env: { TMPDIR: folder.file("tmp") } });
    expect(run.status).toBe(0);
    expect(lines(run.stderr).filter((line) => line.startsWith("step 2/2"))).toHaveLength(1);
    expect(folder.names).toEqual(["out.mp4", "tmp"]);
  });

  test("are told of and kept after a failure", async () => {
    using model = new DamagedModel();
    model.editTensors(transformer, (header, data) => {
      data.writeUInt16LE(0x7fc0, header[weight]?.data_offsets[0]);
    });
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("tmp"));
    const env = { TMPDIR: folder.file("tmp") };
    const run = await runApp(folder.path, [...progress, "--model", model.path], { env });
    expect(run.status).toBe(1);
    const told = lines(run.stderr).at(-1);
    const kept = / what ranks other than 0 wrote is in (\S+)$/.exec(told ?? "")?.[1] ?? "none";
    expect(readdirSync(kept).toSorted()).toEqual(["rank-1.log", "rank-2.log"]);
    expect(readFileSync(join(kept, "rank-2.log"), "utf8")).toStartWith("encoding the prompt\n");
  });

  test("are shown with the rank by --log-ranks", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("tmp"));
    const env = { TMPDIR: folder.file("tmp") };
    const run = await runApp(folder.path, [...progress, "--log-ranks"], { env });
    expect({ status: run.status, stdout: run.stdout }).toEqual({ status: 0, stdout: "" });
    for (const start of ["step 2/2", "[rank 1] step 2/2", "[rank 2] step 2/2"]) {
      expect(lines(run.stderr).filter((line) => line.startsWith(start))).toHaveLength(1);
    }
    expect(readdirSync(folder.file("tmp"))).toEqual([]);
  });
});
