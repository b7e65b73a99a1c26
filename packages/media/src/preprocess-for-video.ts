import { resize } from "./resize.ts";
import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

/**
 * The image as the Wan VAE takes it, with the numbers of diffusers' `VideoProcessor.preprocess` for a
 * PIL image (image_processor.py, resize mode "default", Lanczos): stretched to the size, then to
 * [−1, 1] in float32.
 *
 * @returns `3 * height * width` float32, channels first: (3, H, W).
 * @throws {MediaArgumentError} as {@link resize}.
 */
export function preprocessForVideo(
  image: RgbImage,
  height: number,
  width: number,
): Float32Array<ArrayBuffer> {
  const resized = resize(image, width, height, "lanczos");
  // v / 255, then 2 v − 1, each rounded to float32.
  const values = Float32Array.from({ length: 256 }, (_, level) => 2 * Math.fround(level / 255) - 1);
  return channelsFirst(resized, [values, values, values]);
}

/**
 * Rearranges (H, W, 3) levels to (3, H, W) values.
 *
 * @param values for each channel, the value of each of the 256 levels.
 */
export function channelsFirst(
  { width, height, data }: RgbImage,
  values: readonly [Float32Array, Float32Array, Float32Array],
): Float32Array<ArrayBuffer> {
  const pixels = width * height;
  const planes = new Float32Array(RGB_CHANNELS * pixels);
  for (const [channel, table] of values.entries()) {
    const plane = channel * pixels;
    for (let pixel = 0; pixel < pixels; pixel++) {
      planes[plane + pixel] = table[data[pixel * RGB_CHANNELS + channel]!]!;
    }
  }
  return planes;
}
