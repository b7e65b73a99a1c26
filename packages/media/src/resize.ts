import { MediaArgumentError } from "./errors.ts";
import {
  type ResampleFilter,
  type ResampleName,
  resampleFilters,
  resampleNames,
} from "./resample-filters.ts";
import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

/** Fraction bits of PIL's weights: 32, less 8 of a sample, less 2 for overshoot and sign. */
const PRECISION_BITS = 22;
/** Longest side that is made; beyond every use here, and short of what could exhaust memory. */
const MAX_SIDE = 65_535;

/** Weights of one axis: output `i` is the sum of `count[i]` samples from `first[i]` on. */
interface Weights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** Fixed-point weights, `stride` of them an output. */
  readonly values: Int32Array;
  readonly stride: number;
}

/**
 * Resizes as `Image.resize((width, height), filter)` of Pillow 13 does, to the byte: weights in fixed
 * point of 22 bits, one pass across and one down, each rounded to 8 bits (src/libImaging/Resample.c).
 *
 * @param width new width in pixels.
 * @param height new height in pixels.
 * @throws {MediaArgumentError} for a size that is no whole number from 1 to 65535, an unknown filter,
 * or an image whose data is not height × width × 3 bytes.
 */
export function resize(image: RgbImage, width: number, height: number, filter: ResampleName): RgbImage {
  checkImage("resize", image);
  for (const [argument, side] of [["width", width] as const, ["height", height] as const]) {
    if (Number.isInteger(side) && side >= 1 && side <= MAX_SIDE) continue;
    throw new MediaArgumentError("resize", argument, `a whole number from 1 to ${MAX_SIDE}`, String(side));
  }
  if (!resampleNames.includes(filter)) {
    throw new MediaArgumentError("resize", "filter", `one of ${resampleNames.join(", ")}`, String(filter));
  }
  if (filter === "nearest") return nearest(image, width, height);
  const kernel = resampleFilters[filter];
  const across = (from: RgbImage) => (width === from.width ? from : resizeAcross(from, width, kernel));
  const down = (from: RgbImage) => (height === from.height ? from : resizeDown(from, height, kernel));
  const resized = downFirst(image, width, height) ? across(down(image)) : down(across(image));
  return resized === image ? { width, height, data: new Uint8Array(image.data) } : resized;
}

/**
 * Whether the pass down is the first: Pillow since 13 does that where the height loses more than twice
 * the pixels that the width does. Both orders are right, but each rounds in its own way.
 */
function downFirst(image: RgbImage, width: number, height: number): boolean {
  const lost = image.height - height;
  return lost > 0 && lost > 2 * (image.width - width);
}

/**
 * Makes sure that an image has the bytes that its size says.
 *
 * @throws {MediaArgumentError}
 */
export function checkImage(operation: string, image: RgbImage): void {
  const { width, height, data } = image;
  if (data.length === width * height * RGB_CHANNELS && data.length > 0) return;
  const expected = `height × width × ${RGB_CHANNELS} bytes, at least one pixel`;
  const found = `${data.length} bytes with ${height} × ${width}`;
  throw new MediaArgumentError(operation, "image.data", expected, found);
}

function weightsOf(from: number, to: number, filter: ResampleFilter): Weights {
  const scale = from / to;
  // When shrinking the filter is stretched, so that every sample counts; when enlarging it isn't.
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const values = new Int32Array(to * stride);
  const exact = new Float64Array(stride);
  for (let index = 0; index < to; index++) {
    const center = (index + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const samples = Math.min(Math.trunc(center + support + 0.5), from) - begin;
    let sum = 0;
    for (let sample = 0; sample < samples; sample++) {
      const weight = filter.weight((sample + begin - center + 0.5) * (1 / filterScale));
      exact[sample] = weight;
      sum += weight;
    }
    for (let sample = 0; sample < samples; sample++) {
      const scaled = (sum === 0 ? exact[sample]! : exact[sample]! / sum) * 2 ** PRECISION_BITS;
      values[index * stride + sample] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    first[index] = begin;
    count[index] = samples;
  }
  return { first, count, values, stride };
}

/** Rounds a fixed-point sum to the nearest level of 0 to 255. */
function toLevel(sum: number): number {
  const level = sum >> PRECISION_BITS;
  return level < 0 ? 0 : Math.min(level, 255);
}

const HALF = 1 << (PRECISION_BITS - 1);

function resizeAcross({ width, height, data }: RgbImage, newWidth: number, filter: ResampleFilter): RgbImage {
  const { first, count, values, stride } = weightsOf(width, newWidth, filter);
  const resized = new Uint8Array(newWidth * height * RGB_CHANNELS);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < newWidth; column++) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let from = (row * width + first[column]!) * RGB_CHANNELS;
      const begin = column * stride;
      const end = begin + count[column]!;
      for (let at = begin; at < end; at++) {
        const weight = values[at]!;
        red += data[from]! * weight;
        green += data[from + 1]! * weight;
        blue += data[from + 2]! * weight;
        from += RGB_CHANNELS;
      }
      resized[to] = toLevel(red);
      resized[to + 1] = toLevel(green);
      resized[to + 2] = toLevel(blue);
      to += RGB_CHANNELS;
    }
  }
  return { width: newWidth, height, data: resized };
}

function resizeDown({ width, height, data }: RgbImage, newHeight: number, filter: ResampleFilter): RgbImage {
  const { first, count, values, stride } = weightsOf(height, newHeight, filter);
  const rowBytes = width * RGB_CHANNELS;
  const resized = new Uint8Array(rowBytes * newHeight);
  const sums = new Int32Array(rowBytes);
  for (let row = 0; row < newHeight; row++) {
    sums.fill(HALF);
    let from = first[row]! * rowBytes;
    const begin = row * stride;
    const end = begin + count[row]!;
    for (let at = begin; at < end; at++) {
      const weight = values[at]!;
      for (let i = 0; i < rowBytes; i++) sums[i] = sums[i]! + data[from + i]! * weight;
      from += rowBytes;
    }
    const to = row * rowBytes;
    for (let i = 0; i < rowBytes; i++) resized[to + i] = toLevel(sums[i]!);
  }
  return { width, height: newHeight, data: resized };
}

/** Takes the sample under each new pixel's centre; the sums are PIL's, rounding included. */
function nearest({ width, height, data }: RgbImage, newWidth: number, newHeight: number): RgbImage {
  const positions = (from: number, to: number): Int32Array => {
    const step = from / to;
    const indices = new Int32Array(to);
    for (let index = 0, at = step * 0.5; index < to; index++, at += step) {
      indices[index] = Math.min(Math.floor(at), from - 1);
    }
    return indices;
  };
  const columns = positions(width, newWidth);
  const rows = positions(height, newHeight);
  const resized = new Uint8Array(newWidth * newHeight * RGB_CHANNELS);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * width + column) * RGB_CHANNELS;
      resized[to] = data[from]!;
      resized[to + 1] = data[from + 1]!;
      resized[to + 2] = data[from + 2]!;
      to += RGB_CHANNELS;
    }
  }
  return { width: newWidth, height: newHeight, data: resized };
}
