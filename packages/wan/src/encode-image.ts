import { type ClipPreprocessorConfig, clipPreprocess, type RgbImage } from "@wan-ts/media";
import type { ClipVisionEncoder } from "@wan-ts/models";
import { type DType, scope, Tensor } from "@wan-ts/tensor";

/** What turns the first frame into image tokens. */
export interface ImageEncoder {
  readonly encoder: ClipVisionEncoder;
  readonly preprocessor: ClipPreprocessorConfig;
}

/** Image tokens (1, 1 + patches, imageDim) of `dtype`: the encoder's last state but one. */
export function encodeImage({ encoder, preprocessor }: ImageEncoder, image: RgbImage, dtype: DType): Tensor {
  return scope(() => {
    const { data, height, width } = clipPreprocess(image, preprocessor);
    return encoder.call({ pixelValues: Tensor.from(data, [1, 3, height, width]) }).to(dtype);
  });
}
