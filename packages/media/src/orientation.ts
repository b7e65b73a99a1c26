import { RGB_CHANNELS, type RgbImage } from "./rgb-image.ts";

/**
 * EXIF orientation: where the first row and column of the stored picture belong. 1 is upright; 2 to 4
 * mirror, turn by 180° and flip; 5 to 8 exchange rows and columns.
 */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** Metadata of an image file in which an orientation may stand. */
export interface OrientationMetadata {
  /** An EXIF block, with or without its "Exif\0\0" prefix. */
  readonly exif: Uint8Array | null;
  /** An XMP packet. */
  readonly xmp: string | null;
}

const ORIENTATION_TAG = 0x0112;
/** TIFF 6.0, section 2: field types that hold whole numbers, and their bytes. */
const integerTypeBytes = new Map([
  [1, 1],
  [3, 2],
  [4, 4],
]);
const ENTRY_BYTES = 12;

/**
 * The orientation that `metadata` asks for, 1 where none is said or what is said makes no sense.
 *
 * As PIL's `ImageOps.exif_transpose`: the EXIF tag counts, and XMP's `tiff:Orientation` only where
 * EXIF has none.
 */
export function orientationOf(metadata: OrientationMetadata): Orientation {
  const fromExif = metadata.exif === null ? null : exifOrientation(metadata.exif);
  const value = fromExif ?? (metadata.xmp === null ? null : xmpOrientation(metadata.xmp));
  return isOrientation(value) ? value : 1;
}

function isOrientation(value: number | null): value is Orientation {
  return value !== null && Number.isInteger(value) && value >= 1 && value <= 8;
}

/** The orientation tag of the first directory (TIFF 6.0, section 2), or null. */
function exifOrientation(exif: Uint8Array): number | null {
  const prefixed = String.fromCharCode(...exif.subarray(0, 6)) === "Exif\0\0";
  const tiff = prefixed ? exif.subarray(6) : exif;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (view.byteLength < 8) return null;
  const order = view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return null;
  const littleEndian = order === 0x4949;
  if (view.getUint16(2, littleEndian) !== 42) return null;

  const directory = view.getUint32(4, littleEndian);
  if (directory + 2 > view.byteLength) return null;
  const entries = view.getUint16(directory, littleEndian);
  for (let index = 0; index < entries; index++) {
    const entry = directory + 2 + index * ENTRY_BYTES;
    if (entry + ENTRY_BYTES > view.byteLength) return null;
    if (view.getUint16(entry, littleEndian) !== ORIENTATION_TAG) continue;
    const bytes = integerTypeBytes.get(view.getUint16(entry + 2, littleEndian));
    if (bytes === 1) return view.getUint8(entry + 8);
    if (bytes === 2) return view.getUint16(entry + 8, littleEndian);
    return bytes === 4 ? view.getUint32(entry + 8, littleEndian) : null;
  }
  return null;
}

function xmpOrientation(xmp: string): number | null {
  const match = /tiff:Orientation(?:="|>)([0-9])/.exec(xmp);
  return match === null ? null : Number(match[1]);
}

/** Whether each orientation begins at the stored picture's last column, and at its last row. */
const mirrors: Readonly<Record<Orientation, readonly [columns: boolean, rows: boolean]>> = {
  1: [false, false],
  2: [true, false],
  3: [true, true],
  4: [false, true],
  5: [false, false],
  6: [false, true],
  7: [true, true],
  8: [true, false],
};

/** The picture as it is meant to be seen: a copy, or `image` itself where the orientation is 1. */
export function applyOrientation(image: RgbImage, orientation: Orientation): RgbImage {
  if (orientation === 1) return image;
  const { width, height, data } = image;
  const exchanged = orientation >= 5;
  const [newWidth, newHeight] = exchanged ? [height, width] : [width, height];
  const [mirrorColumns, mirrorRows] = mirrors[orientation];
  // In stored pixels: where the new picture begins, and what one stored column and row are apart.
  const origin = (mirrorColumns ? width - 1 : 0) + (mirrorRows ? (height - 1) * width : 0);
  const storedColumn = mirrorColumns ? -1 : 1;
  const storedRow = mirrorRows ? -width : width;
  const [columnStep, rowStep] = exchanged ? [storedRow, storedColumn] : [storedColumn, storedRow];

  const turned = new Uint8Array(data.length);
  let to = 0;
  for (let row = 0; row < newHeight; row++) {
    let from = (origin + row * rowStep) * RGB_CHANNELS;
    for (let column = 0; column < newWidth; column++) {
      turned[to] = data[from]!;
      turned[to + 1] = data[from + 1]!;
      turned[to + 2] = data[from + 2]!;
      to += RGB_CHANNELS;
      from += columnStep * RGB_CHANNELS;
    }
  }
  return { width: newWidth, height: newHeight, data: turned };
}
