import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { openWeights } from "@wan-ts/hub";
import { loadImage } from "@wan-ts/media";
import { availableInstructionSets } from "@wan-ts/tensor";
import { ALL_FORMATS, FilePathSource, Input } from "mediabunny";
import { relativeDistance } from "../fixture-cases.ts";
import { embeddedModel, runApp, shortRun, TemporaryFolder } from "./run-app.ts";

/** A run that must succeed; returns what it wrote to standard output. */
async function run(folder: TemporaryFolder, ...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await runApp(folder.path, [...shortRun, ...args]);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

/** The only tensor of a safetensors file. */
async function tensorOf(
  path: string,
): Promise<{ name: string; dtype: string; shape: readonly number[]; values: Float32Array }> {
  using source = await openWeights({ folder: path, variant: undefined, files: [path], index: undefined });
  const [name, ...others] = [...source.names()];
  expect(others).toEqual([]);
  using tensor = source.tensor(name as string);
  return { name: name as string, dtype: tensor.dtype, shape: tensor.shape, values: await tensor.floats() };
}

describe("what a run writes", () => {
  test("an mp4 of the frames and the rate asked for, and tensors", async () => {
    using folder = new TemporaryFolder();
    const stdout = await run(folder, "--fps", "5", "--save-latents", "l", "--save-frames", "f");
    expect(stdout).toBe("");
    expect(folder.names).toEqual(["f", "l", "out.mp4"]);

    using input = new Input({ formats: ALL_FORMATS, source: new FilePathSource(folder.file("out.mp4")) });
    const track = await input.getPrimaryVideoTrack();
    const { packetCount, averagePacketRate } = (await track?.computePacketStats()) ?? {};
    expect({
      width: track?.displayWidth,
      height: track?.displayHeight,
      packetCount,
      averagePacketRate,
    }).toEqual({
      width: 96,
      height: 96,
      packetCount: 5,
      averagePacketRate: 5,
    });

    const latents = await tensorOf(folder.file("l"));
    expect(latents).toMatchObject({ name: "latents", dtype: "float32", shape: [1, 16, 2, 12, 12] });
    const frames = await tensorOf(folder.file("f"));
    expect(frames).toMatchObject({ name: "frames", dtype: "float32", shape: [5, 96, 96, 3] });
    expect(frames.values.every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test("a GIF, a still of the first frame, a directory of all", async () => {
    using folder = new TemporaryFolder();
    await run(folder, "--output", "a.gif");
    await run(folder, "--output", "a.png", "--save-frames", "f");
    await run(folder, "--output", "stills");
    expect(readFileSync(folder.file("a.gif")).subarray(0, 6).toString()).toBe("GIF89a");
    const { values } = await tensorOf(folder.file("f"));
    const still = await loadImage(folder.file("a.png"));
    expect([still.width, still.height]).toEqual([96, 96]);
    const levels = values.subarray(0, still.data.length);
    expect(
      still.data.every((level, at) => Math.abs(level / 255 - (levels[at] as number)) <= 0.5 / 255 + 1e-6),
    ).toBe(true);
    expect(folder.names.filter((name) => name.startsWith("stills/"))).toEqual(
      [0, 1, 2, 3, 4].map((frame) => `stills/00000${frame}.png`),
    );
    expect(readFileSync(folder.file("stills/000000.png"))).toEqual(readFileSync(folder.file("a.png")));
  });

  test("one JSON object on the last line with --json", async () => {
    using folder = new TemporaryFolder();
    const stdout = await run(folder, "--json", "--dtype", "float32", "--save-latents", "l");
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    const seconds = expect.any(Number);
    expect(report).toEqual({
      output: folder.file("out.mp4"),
      latents: folder.file("l"),
      savedFrames: null,
      trace: null,
      frames: 5,
      height: 96,
      width: 96,
      dtype: "float32",
      device: "cpu",
      attention: "native",
      seconds: {
        total: seconds,
        load: seconds,
        encodePrompt: seconds,
        encodeImage: seconds,
        encodeCondition: seconds,
        denoise: seconds,
        decode: seconds,
        write: seconds,
      },
      weightBytes: {
        textEncoder: { quantized: 0, cast: expect.any(Number), mapped: expect.any(Number) },
        imageEncoder: { quantized: 0, cast: expect.any(Number), mapped: expect.any(Number) },
        transformer: { quantized: 0, cast: expect.any(Number), mapped: expect.any(Number) },
        vae: { quantized: 0, cast: expect.any(Number), mapped: expect.any(Number) },
      },
      peakTensorBytes: {
        encodePrompt: expect.any(Number),
        encodeImage: expect.any(Number),
        encodeCondition: expect.any(Number),
        denoise: expect.any(Number),
        decode: expect.any(Number),
      },
      peakDeviceBytes: {
        encodePrompt: 0,
        encodeImage: 0,
        encodeCondition: 0,
        denoise: 0,
        decode: 0,
      },
      ranks: [
        {
          rank: 0,
          pid: expect.any(Number),
          peakResidentBytes: expect.any(Number),
          liveTensorBytes: expect.any(Number),
          threads: expect.any(Number),
          collectives: {},
        },
      ],
      collectives: {},
    });
  });

  test("plain lines of progress where standard error is no terminal", async () => {
    using folder = new TemporaryFolder();
    const { stderr, stdout } = await runApp(folder.path, ["--frames", "1", "--steps", "2"]);
    expect(stdout).toBe("");
    expect(stderr).not.toContain("\u001b");
    expect(stderr).toMatch(/step 1\/2 {2}\d+\.\d\d s a step {2}\d+\.\d\d s left\n/);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/^out\.mp4: 1 frames? of 96×96, /);
  });
});

describe("where settings come from", () => {
  test("a config in the working directory, under the flags, over the checkpoint's defaults", async () => {
    using folder = new TemporaryFolder();
    const config = { width: 64, height: 64, output: { file: "made/a.gif", json: true } };
    writeFileSync(folder.file("wan.config.json"), JSON.stringify(config));
    mkdirSync(folder.file("made"));
    const report = JSON.parse(await run(folder, "--height", "48")) as Record<string, unknown>;
    expect(report).toMatchObject({ output: folder.file("made/a.gif"), height: 48, width: 64, frames: 5 });
  });

  test("a TypeScript config, with paths from its own folder", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("configs"));
    const config = `const file: string = "a.png";\nexport default { model: ${JSON.stringify(embeddedModel)}, output: { file } };\n`;
    writeFileSync(folder.file("configs/still.ts"), config);
    await run(folder, "--config", "configs/still.ts");
    expect(folder.names).toContain("configs/a.png");
  });
});

describe("two runs", () => {
  const latentsOf = async (folder: TemporaryFolder, name: string, ...args: string[]) => {
    await run(folder, "--save-latents", name, "--output", `${name}.mp4`, ...args);
    return tensorOf(folder.file(name));
  };

  test("have the same bytes, on one thread and on two", async () => {
    using folder = new TemporaryFolder();
    for (const [name, threads] of [
      ["a", "1"],
      ["b", "2"],
      ["c", "2"],
    ] as const) {
      await run(folder, "--threads", threads, "--save-latents", name, "--output", `${name}.mp4`);
    }
    for (const name of ["b", "c"]) {
      expect(readFileSync(folder.file(name))).toEqual(readFileSync(folder.file("a")));
      expect(readFileSync(folder.file(`${name}.mp4`))).toEqual(readFileSync(folder.file("a.mp4")));
    }
  });

  test("part with another seed and another prompt", async () => {
    using folder = new TemporaryFolder();
    const first = await latentsOf(folder, "a");
    const seeded = await latentsOf(folder, "b", "--seed", "43");
    const prompted = await latentsOf(folder, "c", "--prompt", "a red ball moves up on a sand background");
    expect(relativeDistance(seeded.values, first.values)).toBeGreaterThan(0.1);
    expect(relativeDistance(prompted.values, first.values)).toBeGreaterThan(1e-3);
  });

  test("agree within 1e-5 in float32 with the reference backend and the native one", async () => {
    using folder = new TemporaryFolder();
    const small = ["--dtype", "float32", "--height", "32", "--width", "32"];
    const native = await latentsOf(folder, "a", ...small, "--attention", "native");
    const reference = await latentsOf(folder, "b", ...small, "--attention", "reference");
    expect(relativeDistance(reference.values, native.values)).toBeLessThan(1e-5);
    expect(reference.values).not.toEqual(native.values);
  });

  test("agree within 1e-5 in float32 on every instruction set", async () => {
    using folder = new TemporaryFolder();
    const sets = availableInstructionSets();
    const small = ["--dtype", "float32", "--height", "32", "--width", "32"];
    const widest = await latentsOf(folder, "widest", ...small);
    for (const set of sets) {
      const found = await latentsOf(folder, set, ...small, "--instruction-set", set);
      expect(relativeDistance(found.values, widest.values)).toBeLessThan(1e-5);
    }
  });
});
