import { fitSize, type RgbImage } from "@wan-ts/media";
import type { Config } from "../config/schema.ts";

/** Height and width of a video, in pixels. */
export interface VideoSize {
  readonly height: number;
  readonly width: number;
}

/** 480p, as Wan's examples use: the size without an image, and the largest area taken from one. */
const defaultSize: VideoSize = { height: 480, width: 832 };

/**
 * The size asked for. What is left open follows the image's aspect, or 480p's, to multiples of
 * `sizeMultiple`; what is given is taken as it is, for the pipeline to check.
 *
 * @throws {MediaArgumentError} where the image is so long that a side would be 0.
 */
export function sizeOf(
  { height, width }: Pick<Config, "height" | "width">,
  sizeMultiple: readonly [height: number, width: number],
  image: Pick<RgbImage, "height" | "width"> | undefined,
): VideoSize {
  if (height !== undefined && width !== undefined) return { height, width };
  const shown = image ?? defaultSize;
  const near = (value: number, multiple: number): number =>
    Math.max(multiple, Math.round(value / multiple) * multiple);
  if (height !== undefined)
    return { height, width: near((height * shown.width) / shown.height, sizeMultiple[1]) };
  if (width !== undefined)
    return { height: near((width * shown.height) / shown.width, sizeMultiple[0]), width };
  return image
    ? fitSize(image, defaultSize.height * defaultSize.width, Math.max(...sizeMultiple))
    : defaultSize;
}
