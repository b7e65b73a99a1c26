import { BufferTarget, EncodedPacket, EncodedVideoPacketSource, Mp4OutputFormat, Output } from "mediabunny";
import { MediaArgumentError, VideoEncodeError } from "./errors.ts";
import { betweenFrames, type VideoExportOptions } from "./export-options.ts";
import type { H264Encoder, VideoEncoderFactory } from "./h264-encoder.ts";
import { clearMp4Times } from "./mp4-times.ts";
import { nativeVideoEncoderFactory } from "./native-encoder.ts";
import { checkFileTarget } from "./output-path.ts";
import { checkFrameRate, checkFrames, frameLevels, type VideoFrames } from "./video-frames.ts";
import { writeFileWhole } from "./write-whole.ts";

/** Options of {@link exportToVideo}. */
export interface Mp4ExportOptions extends VideoExportOptions {
  /** What encodes the frames; OpenH264 in the native addon if left out. */
  readonly encoders?: VideoEncoderFactory;
}

/** What the encoder makes of RGB, for the file's `colr` box. */
const BT709_LIMITED = { primaries: "bt709", transfer: "bt709", matrix: "bt709", fullRange: false } as const;

/**
 * Writes frames as an MP4 file with one H.264 track (4:2:0, BT.709, limited range), the index at the
 * front so that it plays while it loads. Levels are truncated to 8 bits as diffusers' `export_to_video`
 * does. Every frame is kept and lasts 1 / fps seconds; the same frames give the same bytes.
 *
 * @throws {MediaArgumentError} for frames that don't fit their size, an odd width or height, values
 * outside [0, 1], or a frame rate that is not above 0; {@link VideoEncodeError} where the encoder
 * fails, e.g. for a size beyond its own limits; {@link OutputError} where the file can't be written.
 */
export async function exportToVideo(
  frames: VideoFrames,
  path: string,
  { fps, signal, encoders = nativeVideoEncoderFactory }: Mp4ExportOptions,
): Promise<void> {
  checkFrames("exportToVideo", frames);
  checkFrameRate("exportToVideo", fps);
  const { width, height } = frames;
  if (width % 2 !== 0 || height % 2 !== 0) {
    throw new MediaArgumentError(
      "exportToVideo",
      "frames",
      "of even width and height",
      `${width} × ${height}`,
    );
  }
  await checkFileTarget(path);

  const encoder = await encoding(-1, () => encoders.create({ width, height, framesPerSecond: fps }));
  let file: Uint8Array;
  try {
    file = await encodeMp4(frames, fps, encoder, signal);
  } finally {
    encoder.dispose();
  }
  await writeFileWhole(path, file);
}

async function encodeMp4(
  frames: VideoFrames,
  framesPerSecond: number,
  encoder: H264Encoder,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const target = new BufferTarget();
  const output = new Output({ format: new Mp4OutputFormat({ fastStart: "in-memory" }), target });
  const source = new EncodedVideoPacketSource("avc");
  output.addVideoTrack(source, { frameRate: framesPerSecond });
  await output.start();
  try {
    const description = await encoding(-1, () => encoder.decoderConfiguration());
    const codec = codecString(description);
    const { width: codedWidth, height: codedHeight } = frames;
    const decoderConfig = { codec, codedWidth, codedHeight, description, colorSpace: BT709_LIMITED };
    for (let index = 0; index < frames.numFrames; index++) {
      await betweenFrames(signal);
      const levels = frameLevels("exportToVideo", frames, index, "truncate");
      const { data, keyframe } = await encoding(index, () => encoder.encode(levels));
      const time = index / framesPerSecond;
      const packet = new EncodedPacket(data, keyframe ? "key" : "delta", time, 1 / framesPerSecond);
      await source.add(packet, { decoderConfig });
    }
    await output.finalize();
  } catch (error) {
    await output.cancel();
    throw error;
  }
  const file = new Uint8Array(target.buffer!);
  clearMp4Times(file);
  return file;
}

/** RFC 6381's name of the stream: profile, constraints and level, the record's bytes 1 to 3. */
function codecString(decoderConfiguration: Uint8Array): string {
  return `avc1.${Buffer.from(decoderConfiguration.subarray(1, 4)).toString("hex")}`;
}

async function encoding<T>(frame: number, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new VideoEncodeError(frame, error instanceof Error ? error.message : String(error), error);
  }
}
