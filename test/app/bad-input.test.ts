import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expectFailure, expectOneLine, runApp, TemporaryFolder } from "./run-app.ts";

const textToVideo = join(import.meta.dir, "../fixtures/text-to-video-euler/model");

describe.concurrent("bad flags", () => {
  const cases: readonly (readonly [string, readonly string[], readonly (string | RegExp)[]])[] = [
    ["an unknown flag", ["--promt", "x"], ["--promt", "--prompt"]],
    ["an unknown command", ["genrate"], ["genrate", "generate"]],
    ["no number", ["--steps", "many"], ["--steps", "many"]],
    ["a number out of range", ["--steps", "0"], ["--steps", "at least 1"]],
    [
      "a height that isn't a multiple of 16",
      ["--height", "100"],
      ["--height", "multiple of 16", "96 or 112"],
    ],
    ["a width that isn't a multiple of 16", ["--width", "17"], ["--width", "multiple of 16", "16 or 32"]],
    ["frames that aren't 4k + 1", ["--frames", "16"], ["--frames", "13 or 17"]],
    ["a video longer than positions reach", ["--frames", "99997"], ["--frames", "1024 tokens"]],
    ["an unknown backend", ["--attention", "natve"], ["natve", 'did you mean "native"']],
    ["an unknown dtype", ["--dtype", "int8"], ["--dtype", "bfloat16"]],
    ["an unknown scheduler", ["--scheduler", "dpm"], ["--scheduler", "unipc or euler"]],
    ["what isn't available", ["--cache", "any"], ["--cache", "not available"]],
    ["no ranks", ["--nproc", "0"], ["--nproc", "at least 1"]],
    ["more ranks than a machine takes", ["--nproc", "257"], ["--nproc", "at most 256"]],
    [
      "more ranks of heads than there are ranks",
      ["--nproc", "3", "--ulysses", "2"],
      ["--ulysses 2 needs --nproc to be a multiple of 2, but it is 3"],
    ],
    ["a ring without ranks", ["--ring", "2"], ["--ring 2 needs --nproc to be a multiple of 2, but it is 1"]],
    [
      "axes whose product isn't the number of ranks",
      ["--nproc", "4", "--ulysses", "2", "--ring", "2", "--cfg-parallel"],
      ["--ulysses 2 × --ring 2 × --cfg-parallel 2 = 8 needs --nproc to be 8, but it is 4"],
    ],
    ["more ranks than heads", ["--nproc", "8", "--ulysses", "8"], ["--ulysses must be at most", "heads"]],
    [
      "prompts apart without guidance",
      ["--nproc", "2", "--cfg-parallel", "--guidance-scale", "1"],
      ["--cfg-parallel needs --guidance-scale above 1, but it is 1"],
    ],
    [
      "prompts apart on an odd number of ranks",
      ["--nproc", "3", "--cfg-parallel"],
      ["--cfg-parallel needs an even number of ranks, but --nproc is 3"],
    ],
    ["a text encoder on one rank", ["--parallel-text-encoder"], ["--parallel-text-encoder needs --nproc"]],
    ["a trace in the video's place", ["--trace", "out.mp4"], ["--trace and --output both name out.mp4"]],
    ["a trace nowhere", ["--trace", "none/trace.json"], ["none"]],
    ["a last frame that the model doesn't take", ["--last-image", "a.png"], ["--last-image", "left out"]],
    ["a second guidance scale without a second expert", ["--guidance-scale-2", "3"], ["--guidance-scale-2"]],
    ["an image for a model of text", ["--model", textToVideo, "--image", "a.png"], ["--image", textToVideo]],
    ["no prompt", ["--model", textToVideo], ["--prompt is needed"]],
    ["a device that isn't there", ["--device", "cuda:0"], ["--device cuda:0", "driver"]],
    [
      "offloading by block on the processor",
      ["--device", "cpu", "--cpu-offload-blocks"],
      ["--cpu-offload-blocks", "cpu", "--cpu-offload"],
    ],
  ];
  for (const [name, args, told] of cases) {
    test(`${name}: ${args.join(" ")}`, () => expectFailure(2, args, told));
  }
});

describe.concurrent("bad configs", () => {
  test("an unknown key, with the nearest one", async () => {
    using folder = new TemporaryFolder();
    writeFileSync(folder.file("wan.config.json"), '{ "output": { "quite": true } }');
    const run = await runApp(folder.path, []);
    expectOneLine(run, 2, ["output.quite", "wan.config.json", 'did you mean "quiet"']);
    expect(folder.names).toEqual(["wan.config.json"]);
  });

  test("a missing file", () => expectFailure(2, ["--config", "none.json"], ["--config", "none.json"]));
});

describe.concurrent("bad images", () => {
  test("a missing file", () => expectFailure(2, ["--image", "none.png"], ["none.png"]));

  test("a directory", () => expectFailure(2, ["--image", "/"], [/ \/[: ]/]));

  test("no image", () => expectFailure(2, ["--image", import.meta.path], ["bad-input.test.ts"]));

  test("10¹⁰ pixels, known from the header alone", async () => {
    using images = new TemporaryFolder();
    const path = images.file("huge.png");
    writeFileSync(path, pngHeader(100_000, 100_000));
    await expectFailure(2, ["--image", path], ["huge.png", /100000 ?× ?100000/]);
  });

  test("a truncated one", async () => {
    using images = new TemporaryFolder();
    const path = images.file("cut.png");
    writeFileSync(path, pngHeader(64, 64));
    await expectFailure(2, ["--image", path], ["cut.png"]);
  });
});

describe.concurrent("bad outputs", () => {
  test("a folder that isn't there", () =>
    expectFailure(2, ["--output", "none/out.mp4"], ["none/out.mp4", "mkdir"]));

  test("a folder that isn't there, for latents", () =>
    expectFailure(2, ["--save-latents", "none/a.safetensors"], ["none/a.safetensors", "mkdir"]));

  test("an unknown extension", () => expectFailure(2, ["--output", "out.webm"], ["out.webm", ".mp4"]));

  test("two outputs of one name", () =>
    expectFailure(2, ["--save-latents", "a", "--save-frames", "./a"], ["--save-latents", "--save-frames"]));

  test("a directory where a file should go", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("taken.mp4"));
    for (const flag of ["--output", "--save-latents", "--save-frames"]) {
      expectOneLine(await runApp(folder.path, [flag, "taken.mp4"]), 2, ["taken.mp4", "directory"]);
    }
    expect(folder.names).toEqual(["taken.mp4"]);
  });

  test("a directory of other things", async () => {
    using folder = new TemporaryFolder();
    mkdirSync(folder.file("frames"));
    writeFileSync(folder.file("frames/letter.txt"), "dear");
    expectOneLine(await runApp(folder.path, ["--output", "frames"]), 2, ["frames", "letter.txt"]);
    expect(folder.names).toEqual(["frames", "frames/letter.txt"]);
  });
});

/** A PNG of a size, without pixels. */
function pngHeader(width: number, height: number): Buffer {
  const ihdr = Buffer.alloc(25);
  ihdr.writeUInt32BE(13, 0);
  ihdr.write("IHDR", 4);
  ihdr.writeUInt32BE(width, 8);
  ihdr.writeUInt32BE(height, 12);
  ihdr.set([8, 2, 0, 0, 0], 16);
  ihdr.writeUInt32BE(Bun.hash.crc32(ihdr.subarray(4, 21)), 21);
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), ihdr]);
}
