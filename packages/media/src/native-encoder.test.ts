import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { movingGradient } from "../test/moving-gradient.ts";
import { readMp4 } from "../test/read-mp4.ts";
import { temporaryFolder } from "../test/temporary-folder.ts";
import { H264EncoderError } from "./errors.ts";
import { exportToVideo } from "./export-video.ts";
import { nativeVideoEncoderFactory } from "./native-encoder.ts";

const frames = movingGradient(17, 96, 96);

async function exported(): Promise<Uint8Array> {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "a.mp4");
  await exportToVideo(frames, path, { fps: 9 });
  return await Bun.file(path).bytes();
}

/** `nal_unit_type` of each unit of a sample (ITU-T H.264, table 7-1). */
function nalUnitTypes(sample: Uint8Array): number[] {
  const view = new DataView(sample.buffer, sample.byteOffset, sample.byteLength);
  const types: number[] = [];
  for (let at = 0; at < sample.length; at += 4 + view.getUint32(at)) types.push(sample[at + 4]! & 0x1f);
  return types;
}

describe("OpenH264 through the addon", () => {
  test("a video has every frame, in constrained baseline, one picture a sample", async () => {
    const video = await readMp4(await exported());
    expect(video.codec).toMatch(/^avc1\.42[c-f][0-9a-f]0b$/);
    expect(video.packets.map(({ keyframe }) => keyframe)).toEqual(
      Array.from({ length: 17 }, (_, index) => index === 0),
    );
    for (const { data, keyframe } of video.packets) expect(nalUnitTypes(data)).toEqual([keyframe ? 5 : 1]);
    expect(video.duration).toBeCloseTo(17 / 9, 9);
  });

  test("the same frames give the same file", async () => {
    expect(await exported()).toEqual(await exported());
  });

  test("a size beyond the encoder's is refused with the limits", async () => {
    const starting = nativeVideoEncoderFactory.create({ width: 4096, height: 64, framesPerSecond: 9 });
    const error: unknown = await starting.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(H264EncoderError);
    expect((error as H264EncoderError).code).toBe("sizeOutOfRange");
    expect((error as H264EncoderError).message).toMatch(
      /^video of 4096 × 64 is out of range: .* at most 3840/,
    );
  });

  test("a frame of a wrong size is refused, and a disposed encoder too", async () => {
    const encoder = await nativeVideoEncoderFactory.create({ width: 32, height: 32, framesPerSecond: 9 });
    expect(() => encoder.encode(new Uint8Array(7))).toThrow(
      new H264EncoderError("frameLength", "frame 0 has 7 bytes, expected 3072 (height × width × 3, RGB)"),
    );
    expect(encoder.encode(new Uint8Array(3072)).keyframe).toBe(true);
    encoder.dispose();
    expect(() => encoder.encode(new Uint8Array(3072))).toThrow(H264EncoderError);
  });
});
