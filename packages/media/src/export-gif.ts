// oxlint-disable-next-line typescript/triple-slash-reference -- packages that import this file compile it too, and find its types only so
/// <reference path="./gifenc.d.ts" />
import { applyPalette, GIFEncoder, quantize } from "gifenc";
import { MediaArgumentError } from "./errors.ts";
import { betweenFrames, type VideoExportOptions } from "./export-options.ts";
import { checkFileTarget } from "./output-path.ts";
import { RGB_CHANNELS } from "./rgb-image.ts";
import { checkFrameRate, checkFrames, frameLevels, type VideoFrames } from "./video-frames.ts";
import { writeFileWhole } from "./write-whole.ts";

/** GIF counts time in hundredths of a second, … */
const TICKS_PER_SECOND = 100;
/** … and players slow frames of less than two of them down to ten. */
const MAX_FRAMES_PER_SECOND = 50;
/** Sides are 16-bit numbers (GIF89a, section 18). */
const MAX_SIDE = 65_535;
const MAX_COLORS = 256;

/**
 * Writes frames as an animated GIF that repeats forever: 256 colours of its own a frame, levels rounded
 * as diffusers' `export_to_gif` gets them. Frames last hundredths of a second that differ by one at
 * most, so that no frame is off by more than half of one and the whole length is right.
 *
 * @throws {MediaArgumentError} for frames that don't fit their size, values outside [0, 1], or more
 * than 50 frames a second; {@link OutputError} where the file can't be written.
 */
export async function exportToGif(
  frames: VideoFrames,
  path: string,
  { fps, signal }: VideoExportOptions,
): Promise<void> {
  checkFrames("exportToGif", frames);
  checkFrameRate("exportToGif", fps);
  if (fps > MAX_FRAMES_PER_SECOND) {
    const expected = `at most ${MAX_FRAMES_PER_SECOND}, which is what players show; write an mp4 for more`;
    throw new MediaArgumentError("exportToGif", "fps", expected, String(fps));
  }
  const { numFrames, height, width } = frames;
  if (Math.max(height, width) > MAX_SIDE) {
    throw new MediaArgumentError(
      "exportToGif",
      "frames",
      `at most ${MAX_SIDE} pixels a side`,
      `${width} × ${height}`,
    );
  }
  await checkFileTarget(path);

  const encoder = GIFEncoder();
  const delays = gifDelays(numFrames, fps);
  for (let index = 0; index < numFrames; index++) {
    await betweenFrames(signal);
    const rgba = withAlpha(frameLevels("exportToGif", frames, index, "round"));
    // Colours are counted in 4 bits a channel, since the time grows with the square of their number;
    // the palette's own are means in 8 bits, and no farther off than those of 5 and 6 bits.
    const palette = quantize(rgba, MAX_COLORS, { format: "rgb444" });
    const indices = applyPalette(rgba, palette, "rgb565");
    const delay = (delays[index]! * 1000) / TICKS_PER_SECOND;
    encoder.writeFrame(indices, width, height, { palette, delay, repeat: 0 });
  }
  encoder.finish();
  await writeFileWhole(path, encoder.bytes());
}

/** How long each frame lasts, in hundredths of a second: every frame begins at its time, rounded. */
export function gifDelays(numFrames: number, framesPerSecond: number): number[] {
  const start = (index: number) => Math.round((index * TICKS_PER_SECOND) / framesPerSecond);
  return Array.from({ length: numFrames }, (_, index) => start(index + 1) - start(index));
}

function withAlpha(rgb: Uint8Array): Uint8Array {
  const pixels = rgb.length / RGB_CHANNELS;
  const rgba = new Uint8Array(pixels * 4).fill(255);
  for (let pixel = 0; pixel < pixels; pixel++) {
    rgba[pixel * 4] = rgb[pixel * RGB_CHANNELS]!;
    rgba[pixel * 4 + 1] = rgb[pixel * RGB_CHANNELS + 1]!;
    rgba[pixel * 4 + 2] = rgb[pixel * RGB_CHANNELS + 2]!;
  }
  return rgba;
}
