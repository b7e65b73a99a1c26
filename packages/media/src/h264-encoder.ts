/** One frame as an MP4 file stores it. */
export interface EncodedVideoFrame {
  /** NAL units, each after its length in four bytes, without parameter sets. */
  readonly data: Uint8Array;
  /** Whether decoding can start at this frame. */
  readonly keyframe: boolean;
}

/** An H.264 stream being made: BT.709 in limited range, 4:2:0, every frame kept, no reordering. */
export interface H264Encoder {
  /**
   * Encodes the next frame.
   *
   * @param rgb `height * width * 3` bytes by rows.
   */
  encode(rgb: Uint8Array): EncodedVideoFrame;
  /** The stream's `avcC` record (ISO/IEC 14496-15, clause 5.3.3.1). */
  decoderConfiguration(): Uint8Array;
  /** Frees the encoder; it can't be used afterwards. */
  dispose(): void;
}

/** What a stream is to be. */
export interface H264EncoderOptions {
  /** Even. */
  readonly width: number;
  /** Even. */
  readonly height: number;
  readonly framesPerSecond: number;
}

/** Starts H.264 streams. */
export interface VideoEncoderFactory {
  create(options: H264EncoderOptions): Promise<H264Encoder>;
}
