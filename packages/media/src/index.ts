export { type ClipPreprocessorConfig, parseClipPreprocessorConfig } from "./clip-config.ts";
export { type ClipPixelValues, clipPreprocess } from "./clip-preprocess.ts";
export {
  H264EncoderError,
  ImageError,
  type ImageErrorCode,
  MediaArgumentError,
  OutputError,
  type OutputErrorCode,
  PreprocessorConfigError,
  VideoEncodeError,
} from "./errors.ts";
export { exportToGif } from "./export-gif.ts";
export type { ExportOptions, VideoExportOptions } from "./export-options.ts";
export { exportPng, exportToPngs } from "./export-png.ts";
export { exportToVideo, type Mp4ExportOptions } from "./export-video.ts";
export { fitSize, type Size } from "./fit-size.ts";
export type {
  EncodedVideoFrame,
  H264Encoder,
  H264EncoderOptions,
  VideoEncoderFactory,
} from "./h264-encoder.ts";
export { decodeImage, loadImage, MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS } from "./load-image.ts";
export { nativeVideoEncoderFactory } from "./native-encoder.ts";
export { checkFileTarget, checkOutputPath, type OutputKind } from "./output-path.ts";
export { encodePng } from "./png-encode.ts";
export { preprocessForVideo } from "./preprocess-for-video.ts";
export { type ResampleName, resampleNames } from "./resample-filters.ts";
export { resize } from "./resize.ts";
export type { RgbImage } from "./rgb-image.ts";
export type { VideoFrames } from "./video-frames.ts";
export { type FileContent, removeTemporaries, writeFileWhole } from "./write-whole.ts";
