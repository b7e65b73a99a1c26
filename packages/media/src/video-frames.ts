import { MediaArgumentError } from "./errors.ts";
import { RGB_CHANNELS } from "./rgb-image.ts";
import { roundHalfEven } from "./rounding.ts";

/**
 * Frames of a video, (F, H, W, 3) RGB: float32 in [0, 1], as pipelines give them, or 8 bits.
 */
export interface VideoFrames {
  readonly data: Float32Array | Uint8Array;
  readonly numFrames: number;
  readonly height: number;
  readonly width: number;
}

/**
 * How a value in [0, 1] becomes one of 256 levels. "truncate" is `(frame * 255).astype(uint8)`, what
 * diffusers' `export_to_video` does; "round" is `(image * 255).round()`, halves to even, what its
 * `numpy_to_pil` does for stills.
 */
export type LevelRule = "truncate" | "round";

/**
 * Makes sure that frames have the values that their size says, and at least one.
 *
 * @throws {MediaArgumentError}
 */
export function checkFrames(operation: string, frames: VideoFrames): void {
  for (const name of ["numFrames", "height", "width"] as const) {
    if (Number.isInteger(frames[name]) && frames[name] >= 1) continue;
    throw new MediaArgumentError(operation, `frames.${name}`, "a whole number from 1", String(frames[name]));
  }
  const { numFrames, height, width } = frames;
  const expected = numFrames * height * width * RGB_CHANNELS;
  if (frames.data.length === expected) return;
  const shape = `(${numFrames}, ${height}, ${width}, ${RGB_CHANNELS})`;
  throw new MediaArgumentError(
    operation,
    "frames.data",
    `${expected} values, shape ${shape}`,
    `${frames.data.length} values`,
  );
}

/**
 * One frame in 8 bits, `height * width * 3` bytes.
 *
 * @param index of the frame, from 0.
 * @throws {MediaArgumentError} where a value is not in [0, 1] (a NaN included), naming where.
 */
export function frameLevels(
  operation: string,
  frames: VideoFrames,
  index: number,
  rule: LevelRule,
): Uint8Array<ArrayBuffer> {
  const { data, height, width } = frames;
  const length = height * width * RGB_CHANNELS;
  const frame = data.subarray(index * length, (index + 1) * length);
  if (frame instanceof Uint8Array) return new Uint8Array(frame);
  const levels = new Uint8Array(length);
  for (let at = 0; at < length; at++) {
    const value = frame[at]!;
    // A NaN fails both comparisons.
    if (!(value >= 0 && value <= 1)) {
      const pixel = Math.floor(at / RGB_CHANNELS);
      const where = `frame ${index}, row ${Math.floor(pixel / width)}, column ${pixel % width}`;
      throw new MediaArgumentError(operation, "frames.data", "in [0, 1]", `${value} at ${where}`);
    }
    // The product is rounded to float32 first, as NumPy does.
    const scaled = Math.fround(value * 255);
    levels[at] = rule === "truncate" ? scaled : roundHalfEven(scaled);
  }
  return levels;
}

/**
 * Makes sure that a frame rate is a positive number.
 *
 * @throws {MediaArgumentError}
 */
export function checkFrameRate(operation: string, framesPerSecond: number): void {
  if (Number.isFinite(framesPerSecond) && framesPerSecond > 0) return;
  throw new MediaArgumentError(operation, "fps", "a number above 0", String(framesPerSecond));
}
