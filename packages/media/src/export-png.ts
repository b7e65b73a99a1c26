import { MediaArgumentError } from "./errors.ts";
import { betweenFrames, type ExportOptions } from "./export-options.ts";
import { checkDirectoryTarget } from "./output-path.ts";
import { encodePng } from "./png-encode.ts";
import { checkFrames, frameLevels, type VideoFrames } from "./video-frames.ts";
import { writeDirectoryWhole, writeFileWhole } from "./write-whole.ts";

/** Digits of a frame's file name, so that names sort as frames do. */
const NAME_DIGITS = 6;

/**
 * Writes one frame as a PNG file, levels rounded as diffusers' `numpy_to_pil` does.
 *
 * @param index of the frame, from 0.
 * @throws {MediaArgumentError} for frames that don't fit their size, values outside [0, 1], or no such
 * frame; {@link OutputError} where the file can't be written.
 */
export async function exportPng(frames: VideoFrames, index: number, path: string): Promise<void> {
  checkFrames("exportPng", frames);
  const { numFrames, height, width } = frames;
  if (!Number.isInteger(index) || index < 0 || index >= numFrames) {
    const expected = `a whole number from 0 to ${numFrames - 1}`;
    throw new MediaArgumentError("exportPng", "index", expected, String(index));
  }
  await writeFileWhole(
    path,
    await encodePng({ width, height, data: frameLevels("exportPng", frames, index, "round") }),
  );
}

/**
 * Writes all frames as 000000.png, 000001.png, … into a directory that appears whole or not at all.
 * A directory of that name may be there if it is empty or only holds such frames; it is replaced.
 *
 * @throws {MediaArgumentError} for frames that don't fit their size or values outside [0, 1];
 * {@link OutputError} where the directory can't be written.
 */
export async function exportToPngs(
  frames: VideoFrames,
  directory: string,
  { signal }: ExportOptions = {},
): Promise<void> {
  checkFrames("exportToPngs", frames);
  await checkDirectoryTarget(directory);
  const { numFrames, height, width } = frames;
  await writeDirectoryWhole(directory, async (write) => {
    for (let index = 0; index < numFrames; index++) {
      await betweenFrames(signal);
      const data = frameLevels("exportToPngs", frames, index, "round");
      await write(
        `${String(index).padStart(NAME_DIGITS, "0")}.png`,
        await encodePng({ width, height, data }),
      );
    }
  });
}
