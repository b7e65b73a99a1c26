import { MediaArgumentError } from "./errors.ts";
import { roundHalfEven } from "./rounding.ts";

/** A size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/**
 * The size of a video that keeps an image's aspect: about `maxArea` pixels, each side cut down to a
 * multiple of `multiple`. It is the rule of diffusers' Wan image-to-video example
 * (pipeline_wan_i2v.py), there with 480 × 832 and 16.
 *
 * @throws {MediaArgumentError} where the image is so long that a side would be 0.
 */
export function fitSize(image: Size, maxArea: number, multiple: number): Size {
  for (const [argument, value] of Object.entries({
    width: image.width,
    height: image.height,
    maxArea,
    multiple,
  })) {
    if (Number.isFinite(value) && value > 0) continue;
    throw new MediaArgumentError("fitSize", argument, "a number above 0", String(value));
  }
  const aspect = image.height / image.width;
  const side = (length: number) => Math.floor(roundHalfEven(length) / multiple) * multiple;
  const height = side(Math.sqrt(maxArea * aspect));
  const width = side(Math.sqrt(maxArea / aspect));
  if (height === 0 || width === 0) {
    const expected = `of an aspect that leaves ${multiple} pixels each way in an area of ${maxArea}`;
    throw new MediaArgumentError("fitSize", "image", expected, `${image.width} × ${image.height}`);
  }
  return { width, height };
}
