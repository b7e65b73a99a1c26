/** An image of 8-bit RGB: `height * width * 3` bytes by rows, without padding. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Channels of an {@link RgbImage} and of a video frame. */
export const RGB_CHANNELS = 3;
