import type { ClipPreprocessorConfig } from "./clip-config.ts";
import type { Size } from "./fit-size.ts";
import { channelsFirst } from "./preprocess-for-video.ts";
import { checkImage, resize } from "./resize.ts";
import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

/** Pixel values of an image for a CLIP vision encoder. */
export interface ClipPixelValues extends Size {
  /** (3, height, width), float32. */
  readonly data: Float32Array<ArrayBuffer>;
}

/**
 * Prepares an image for a CLIP vision encoder with the numbers of transformers' `CLIPImageProcessorPil`
 * (image_processing_backends.py, image_transforms.py): resized with PIL's filter on 8 bits, cropped
 * about the middle (or padded with black where it is too small), rescaled, and normalized in float32.
 *
 * @throws {MediaArgumentError} where the image's data doesn't fit its size.
 */
export function clipPreprocess(image: RgbImage, config: ClipPreprocessorConfig): ClipPixelValues {
  checkImage("clipPreprocess", image);
  let picture = image;
  if (config.resize !== null) {
    const { width, height } = resizedSize(image, config.resize.size);
    picture = resize(picture, width, height, config.resize.filter);
  }
  if (config.centerCrop !== null) picture = centerCrop(picture, config.centerCrop);
  const { width, height } = picture;
  const tables = [0, 1, 2].map((channel) => valuesOfLevels(config, channel));
  return { width, height, data: channelsFirst(picture, [tables[0]!, tables[1]!, tables[2]!]) };
}

type TargetSize = NonNullable<ClipPreprocessorConfig["resize"]>["size"];

/** transformers' `get_resize_output_image_size`: the longer side is cut to a whole number. */
function resizedSize({ width, height }: Size, size: TargetSize): Size {
  if (!("shortestEdge" in size)) return size;
  const shorter = size.shortestEdge;
  return width <= height
    ? { width: shorter, height: Math.trunc((shorter * height) / width) }
    : { width: Math.trunc((shorter * width) / height), height: shorter };
}

/**
 * transformers' `center_crop`. A side that is too short is padded first, the odd pixel before the
 * image; a side that is long enough is cut, the odd pixel after it.
 */
function centerCrop(image: RgbImage, { width, height }: Size): RgbImage {
  if (image.width === width && image.height === height) return image;
  const data = new Uint8Array(width * height * RGB_CHANNELS);
  // Where the crop begins in the image; negative by as much as is padded.
  const left = Math.floor((image.width - width) / 2);
  const top = Math.floor((image.height - height) / 2);
  const firstColumn = Math.max(left, 0);
  const columns = Math.min(left + width, image.width) - firstColumn;
  for (let row = Math.max(top, 0); row < Math.min(top + height, image.height); row++) {
    const from = (row * image.width + firstColumn) * RGB_CHANNELS;
    const to = ((row - top) * width + firstColumn - left) * RGB_CHANNELS;
    data.set(image.data.subarray(from, from + columns * RGB_CHANNELS), to);
  }
  return { width, height, data };
}

/** The value of each level: rescaled in float64, then all in float32. */
function valuesOfLevels({ rescaleFactor, normalize }: ClipPreprocessorConfig, channel: number): Float32Array {
  const rescaled = Float32Array.from({ length: 256 }, (_, level) => level * (rescaleFactor ?? 1));
  if (normalize === null) return rescaled;
  const mean = Math.fround(normalize.mean[channel]!);
  const standardDeviation = Math.fround(normalize.standardDeviation[channel]!);
  return rescaled.map((value) => Math.fround(value - mean) / standardDeviation);
}
