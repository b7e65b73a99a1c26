import { readFile, stat } from "node:fs/promises";
import { CorruptImageData, ImageError } from "./errors.ts";
import { type ImageFormat, recognizeFile } from "./image-format.ts";
import { readJpegMetadata } from "./jpeg-segments.ts";
import { applyOrientation, type OrientationMetadata, orientationOf } from "./orientation.ts";
import { readPngFile, readPngHeader } from "./png-chunks.ts";
import { decodePngPixels } from "./png-pixels.ts";
import type { RgbImage } from "./rgb-image.ts";
import { readWebpFile } from "./webp-chunks.ts";

/**
 * Bytes of the largest image file that is read, 256 MiB: an uncompressed picture of
 * {@link MAX_IMAGE_PIXELS} has 286 MiB, and a compressed one is far smaller.
 */
export const MAX_IMAGE_FILE_BYTES = 256 * 2 ** 20;

/**
 * Pixels of the largest image that is decoded, 10⁸: more than cameras make, and 300 MB of RGB, so that
 * a small file that claims to be huge can't take the machine's memory.
 */
export const MAX_IMAGE_PIXELS = 100_000_000;

const SUPPORTED = "a PNG, JPEG or WebP image";

/**
 * Loads an image file as RGB, the way diffusers' `load_image` does with PIL: EXIF orientation applied,
 * alpha dropped without compositing, grey, palette and CMYK converted. The file's name plays no part,
 * its first bytes tell the format.
 *
 * PNG, JPEG and WebP pixels equal PIL's (libjpeg-turbo, libwebp), all without shrinking on load.
 *
 * @throws {ImageError} where the file is missing, no image, beyond {@link MAX_IMAGE_FILE_BYTES} or
 * {@link MAX_IMAGE_PIXELS}, animated WebP, or damaged. Limits are checked before decoding.
 */
export async function loadImage(path: string): Promise<RgbImage> {
  return decodeImage(await readImageFile(path), path);
}

/**
 * Decodes the bytes of an image file as {@link loadImage} does.
 *
 * @param bytes a whole file; not to be changed before the promise settles.
 * @param name what errors call the image.
 * @throws {ImageError} as {@link loadImage}.
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  checkFileSize(bytes.length, name);
  const { format, description } = recognizeFile(bytes);
  if (format === null) {
    throw new ImageError("unsupportedFormat", {
      path: name,
      found: description,
      expected: SUPPORTED,
      message: `${name} is ${description}, expected ${SUPPORTED}`,
    });
  }
  try {
    const { metadata, decode } = await openImage(format, bytes, name);
    return applyOrientation(await decode(), orientationOf(metadata));
  } catch (error) {
    if (!(error instanceof CorruptImageData)) throw error;
    throw new ImageError("corrupt", {
      path: name,
      found: error.message,
      expected: `${description} without damage`,
      message: `${name} is ${description} that can't be decoded: ${error.message}`,
      cause: error,
    });
  }
}

async function readImageFile(path: string): Promise<Uint8Array> {
  const fail = (code: "notFound" | "notAFile" | "unreadable", found: string, cause?: unknown): never => {
    const message = `image ${path}: ${found}; give the path of ${SUPPORTED}`;
    throw new ImageError(code, { path, found, expected: SUPPORTED, message, cause });
  };
  try {
    const status = await stat(path);
    if (status.isDirectory()) return fail("notAFile", "it is a directory");
    if (!status.isFile()) return fail("notAFile", "it is no regular file");
    checkFileSize(status.size, path);
    return await readFile(path);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return fail("notFound", "there is no such file", error);
    if (code === "EACCES" || code === "EPERM") return fail("unreadable", "reading it is not allowed", error);
    return fail("unreadable", message, error);
  }
}

function checkFileSize(bytes: number, path: string): void {
  if (bytes <= MAX_IMAGE_FILE_BYTES) return;
  const [found, expected] = [`${bytes} bytes`, `at most ${MAX_IMAGE_FILE_BYTES} bytes`];
  const message = `image ${path} has ${found}, ${expected} are read`;
  throw new ImageError("fileTooLarge", { path, found, expected, message });
}

function checkPixels(width: number, height: number, path: string): void {
  if (width * height <= MAX_IMAGE_PIXELS) return;
  const [found, expected] = [`${width} × ${height} pixels`, `at most ${MAX_IMAGE_PIXELS} pixels`];
  const message = `image ${path} has ${found}, ${expected} are decoded; make it smaller first`;
  throw new ImageError("tooManyPixels", { path, found, expected, message });
}

interface OpenedImage {
  readonly metadata: OrientationMetadata;
  readonly decode: () => Promise<RgbImage>;
}

/** Reads headers and metadata and checks the limits; pixels come with `decode`. */
async function openImage(format: ImageFormat, bytes: Uint8Array, path: string): Promise<OpenedImage> {
  if (format === "png") {
    const { width, height } = readPngHeader(bytes);
    checkPixels(width, height, path);
    const file = readPngFile(bytes);
    return { metadata: file.metadata, decode: () => Promise.resolve(decodePngPixels(file)) };
  }
  // The decoder's own limit is lifted: it would hide the size, which is checked before it decodes.
  const decoder = new Bun.Image(bytes, { autoOrient: false, maxPixels: Number.MAX_SAFE_INTEGER });
  const { width, height } = await decoding(() => decoder.metadata());
  checkPixels(width, height, path);
  const metadata = format === "jpeg" ? readJpegMetadata(bytes) : readStillWebp(bytes, path);
  // The decoder gives no raw pixels, only files: a PNG that isn't compressed loses and costs nothing.
  const decode = async () =>
    decodePngPixels(readPngFile(await decoding(() => decoder.png({ compressionLevel: 0 }).bytes())));
  return { metadata, decode };
}

async function decoding<T>(decode: () => Promise<T>): Promise<T> {
  try {
    return await decode();
  } catch (cause) {
    throw new CorruptImageData("its picture data is damaged or cut short", { cause });
  }
}

function readStillWebp(bytes: Uint8Array, path: string): OrientationMetadata {
  const file = readWebpFile(bytes);
  if (!file.animated) return file;
  const found = "an animated WebP image";
  const message = `${path} is ${found}, expected a still picture; save one of its frames`;
  throw new ImageError("unsupportedFormat", { path, found, expected: SUPPORTED, message });
}
