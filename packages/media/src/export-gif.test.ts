import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { movingGradient } from "../test/moving-gradient.ts";
import { readGif } from "../test/read-gif.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { exportToGif, gifDelays } from "./export-gif.ts";
import { decodeImage } from "./load-image.ts";
import { frameLevels } from "./video-frames.ts";

describe("exportToGif", () => {
  test("writes every frame, repeating forever, with the right length", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.gif");
    await exportToGif(movingGradient(17, 20, 30), path, { fps: 9 });
    const gif = readGif(await Bun.file(path).bytes());
    expect(gif).toMatchObject({ width: 30, height: 20, repeats: 0 });
    expect(gif.delays).toEqual(gifDelays(17, 9));
    expect(gif.delays.reduce((sum, delay) => sum + delay)).toBe(Math.round((17 * 100) / 9));
    expect(gif.colors).toEqual(Array.from({ length: 17 }, () => 256));
  });

  test("colours are as close as 256 of them allow", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "a.gif");
    const frames = movingGradient(1, 32, 32);
    await exportToGif(frames, path, { fps: 10 });
    const png = await new Bun.Image(await Bun.file(path).bytes()).png().bytes();
    const { data } = await decodeImage(png, "first frame");
    const levels = frameLevels("test", frames, 0, "round");
    const squared = levels.reduce((sum, level, i) => sum + (level - data[i]!) ** 2, 0);
    expect(Math.sqrt(squared / levels.length)).toBeLessThan(8);
  });

  test("frames faster than players show are refused before anything is written", async () => {
    await using folder = await temporaryFolder();
    const writing = exportToGif(movingGradient(2, 4, 4), join(folder.path, "a.gif"), { fps: 60 });
    expect(await writing.catch((error: unknown) => error)).toMatchObject({ argument: "fps", found: "60" });
    expect(await readdir(folder.path)).toEqual([]);
  });

  test("an abort stops it and writes nothing", async () => {
    await using folder = await temporaryFolder();
    const signal = AbortSignal.abort(new Error("enough"));
    const writing = exportToGif(movingGradient(2, 4, 4), join(folder.path, "a.gif"), { fps: 10, signal });
    expect(await writing.catch((error: unknown) => error)).toBe(signal.reason);
    expect(await readdir(folder.path)).toEqual([]);
  });
});

test("gifDelays differ by one at most, and add up to the length", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.double({ min: 0.1, max: 50, noNaN: true }),
      (frames, fps) => {
        const delays = gifDelays(frames, fps);
        expect(delays.length).toBe(frames);
        expect(delays.reduce((sum, delay) => sum + delay)).toBe(Math.round((frames * 100) / fps));
        expect(Math.max(...delays) - Math.min(...delays)).toBeLessThanOrEqual(1);
        expect(Math.min(...delays)).toBeGreaterThanOrEqual(2);
      },
    ),
  );
  expect(gifDelays(8, 16)).toEqual([6, 7, 6, 6, 6, 7, 6, 6]);
});
