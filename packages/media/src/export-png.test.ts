import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { movingGradient } from "../test/moving-gradient.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { exportPng, exportToPngs } from "./export-png.ts";
import { loadImage } from "./load-image.ts";
import { frameLevels } from "./video-frames.ts";

const frames = movingGradient(12, 9, 14);

test("exportToPngs writes every frame by number, each as rounded", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "frames");
  await exportToPngs(frames, path);
  const names = Array.from({ length: 12 }, (_, index) => `${String(index).padStart(6, "0")}.png`);
  expect((await readdir(path)).toSorted()).toEqual(names);
  for (const [index, name] of names.entries()) {
    const data = frameLevels("test", frames, index, "round");
    expect(await loadImage(join(path, name))).toEqual({ width: 14, height: 9, data });
  }
});

test("exportPng writes the frame asked for", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "a.png");
  await exportPng(frames, 11, path);
  expect((await loadImage(path)).data).toEqual(frameLevels("test", frames, 11, "round"));
});

test.each([-1, 12, 0.5])("exportPng refuses frame %p", async (index) => {
  const writing = exportPng(frames, index, "a.png");
  expect(await writing.catch((error: unknown) => error)).toMatchObject({
    argument: "index",
    expected: "a whole number from 0 to 11",
    found: String(index),
  });
});

test("a value outside [0, 1] in a late frame leaves no directory", async () => {
  await using folder = await temporaryFolder();
  const data = Float32Array.from(frames.data);
  data[data.length - 1] = Number.NaN;
  const writing = exportToPngs({ ...frames, data }, join(folder.path, "frames"));
  expect(await writing.catch((error: unknown) => error)).toMatchObject({ argument: "frames.data" });
  expect(await readdir(folder.path)).toEqual([]);
});

test("an abort between frames leaves no directory", async () => {
  await using folder = await temporaryFolder();
  const controller = new AbortController();
  const writing = exportToPngs(frames, join(folder.path, "frames"), { signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")));
  expect(await writing.catch((error: unknown) => error)).toBe(controller.signal.reason);
  expect(await readdir(folder.path)).toEqual([]);
});
