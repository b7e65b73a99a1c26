import { type ClipPreprocessorConfig, clipPreprocess, type RgbImage } from "@wan-ts/media";
import type { ClipVisionEncoder } from "@wan-ts/models";
import { concatenate, type Device, type DType, scope, Tensor } from "@wan-ts/tensor";
import type { WeightedModel } from "./weighted-model.ts";

/** What turns the given frames into image tokens. */
export interface ImageEncoder {
  readonly encoder: WeightedModel<ClipVisionEncoder>;
  readonly preprocessor: ClipPreprocessorConfig;
}

/** Image tokens (images, 1 + patches, imageDim) of `dtype`: the encoder's last state but one of each. */
export function encodeImages(
  encoder: ClipVisionEncoder,
  preprocessor: ClipPreprocessorConfig,
  images: readonly RgbImage[],
  dtype: DType,
  device: Device,
): Tensor {
  return scope(() => {
    const states = images.map((image) => {
      const { data, height, width } = clipPreprocess(image, preprocessor);
      return encoder.call({ pixelValues: Tensor.from(data, [1, 3, height, width], "float32", device) });
    });
    return concatenate(states, 0).to(dtype);
  });
}
