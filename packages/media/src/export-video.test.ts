import { describe, expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FakeEncoders } from "../test/fake-encoder.ts";
import { movingGradient } from "../test/moving-gradient.ts";
import { readMp4, topBoxes } from "../test/read-mp4.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { exportToVideo, type Mp4ExportOptions } from "./export-video.ts";
import { frameLevels, type VideoFrames } from "./video-frames.ts";

async function exported(frames: VideoFrames, options: Mp4ExportOptions): Promise<Uint8Array> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "a.mp4");
  await exportToVideo(frames, path, options);
  expect(await readdir(folder.path)).toEqual(["a.mp4"]);
  return await Bun.file(path).bytes();
}

/** The error of an export, and the file that was at its path before. */
async function failed(frames: VideoFrames, options: Mp4ExportOptions): Promise<unknown> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "a.mp4");
  await writeFile(path, "old");
  const error: unknown = await exportToVideo(frames, path, options).catch((caught: unknown) => caught);
  expect(await readdir(folder.path)).toEqual(["a.mp4"]);
  expect(await Bun.file(path).text()).toBe("old");
  return error;
}

const frames = movingGradient(17, 64, 96);

describe("exportToVideo", () => {
  test.each([9, 16, 24, 60, 0.5, 12.5, 23.976, 29.97])(
    "%d frames a second: count, times and length",
    async (fps) => {
      const video = await readMp4(await exported(frames, { fps, encoders: new FakeEncoders() }));
      expect(video.tracks).toBe(1);
      expect(video.packets.length).toBe(17);
      for (const [index, { timestamp, duration, keyframe }] of video.packets.entries()) {
        expect(timestamp).toBeCloseTo(index / fps, 9);
        expect(duration).toBeCloseTo(1 / fps, 9);
        expect(keyframe).toBe(index % 5 === 0);
      }
      expect(video.duration).toBeCloseTo(17 / fps, 9);
      expect(video.averageRate).toBeCloseTo(fps, 6);
    },
  );

  test("size, codec, record, colours and data are the encoder's", async () => {
    const encoders = new FakeEncoders();
    const video = await readMp4(await exported(frames, { fps: 9, encoders }));
    const { options, encoder } = encoders.created[0]!;
    expect(options).toEqual({ width: 96, height: 64, framesPerSecond: 9 });
    expect([video.width, video.height]).toEqual([96, 64]);
    const record = encoder.decoderConfiguration();
    expect(video.codec).toBe(`avc1.${Buffer.from(record.subarray(1, 4)).toString("hex")}`);
    expect(Buffer.from(video.decoderConfig?.description as Uint8Array)).toEqual(Buffer.from(record));
    expect(video.colorSpace).toEqual({
      primaries: "bt709",
      transfer: "bt709",
      matrix: "bt709",
      fullRange: false,
    });
    expect(video.packets.map(({ data }) => data.length)).toEqual(Array.from({ length: 17 }, (_, i) => i + 5));
  });

  test("the encoder gets every frame in order, truncated to 8 bits, and is freed", async () => {
    const encoders = new FakeEncoders();
    await exported(frames, { fps: 9, encoders });
    const { encoder } = encoders.created[0]!;
    expect(encoder.frames).toEqual(
      Array.from({ length: 17 }, (_, index) => frameLevels("test", frames, index, "truncate")),
    );
    expect(encoder.disposed).toBe(true);
  });

  test("8-bit frames pass as they are", async () => {
    const encoders = new FakeEncoders();
    const data = Uint8Array.from({ length: 2 * 2 * 4 * 3 }, (_, i) => i * 5);
    await exported({ data, numFrames: 2, height: 2, width: 4 }, { fps: 9, encoders });
    expect(encoders.created[0]!.encoder.frames).toEqual([data.slice(0, 24), data.slice(24)]);
  });

  test("the index is at the front, and no time of writing is in the file", async () => {
    const bytes = await exported(frames, { fps: 9, encoders: new FakeEncoders() });
    const boxes = topBoxes(bytes);
    expect(boxes.filter((type) => type !== "free")).toEqual(["ftyp", "moov", "mdat"]);
    for (const type of ["mvhd", "tkhd", "mdhd"]) {
      const at = Buffer.from(bytes).indexOf(type);
      expect([...bytes.subarray(at + 8, at + 16)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    }
  });
});

describe("failures leave the old file", () => {
  test("an encoder that fails at a frame", async () => {
    const encoders = new FakeEncoders(3);
    const error = await failed(frames, { fps: 9, encoders });
    expect(error).toMatchObject({ name: "VideoEncodeError", code: "videoEncode", frame: 3 });
    expect((error as Error).message).toBe("the H.264 encoder failed at frame 3: no more bits");
    expect(encoders.created[0]!.encoder.disposed).toBe(true);
  });

  test("an encoder that can't start", async () => {
    const encoders = { create: () => Promise.reject(new Error("too large")) };
    const error = await failed(frames, { fps: 9, encoders });
    expect(error).toMatchObject({ name: "VideoEncodeError", frame: -1 });
    expect((error as Error).message).toBe("the H.264 encoder could not start: too large");
  });

  test("a value outside [0, 1]", async () => {
    const data = Float32Array.from(frames.data);
    data[data.length - 1] = 1.5;
    const encoders = new FakeEncoders();
    expect(await failed({ ...frames, data }, { fps: 9, encoders })).toMatchObject({
      argument: "frames.data",
    });
    expect(encoders.created[0]!.encoder.disposed).toBe(true);
  });

  test("an odd size and a bad rate, before the encoder is made", async () => {
    const encoders = new FakeEncoders();
    const odd = movingGradient(1, 5, 4);
    expect(await failed(odd, { fps: 9, encoders })).toMatchObject({
      expected: "of even width and height",
      found: "4 × 5",
    });
    expect(await failed(frames, { fps: 0, encoders })).toMatchObject({ argument: "fps" });
    expect(encoders.created).toEqual([]);
  });

  test("an abort between frames", async () => {
    const controller = new AbortController();
    const encoders = new FakeEncoders();
    setTimeout(() => controller.abort(new Error("enough")));
    expect(await failed(frames, { fps: 9, encoders, signal: controller.signal })).toBe(
      controller.signal.reason,
    );
    const { encoder } = encoders.created[0]!;
    expect(encoder.disposed).toBe(true);
    expect(encoder.frames.length).toBeLessThan(17);
  });
});
