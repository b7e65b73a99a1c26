import type {
  EncodedVideoFrame,
  H264Encoder,
  H264EncoderOptions,
  VideoEncoderFactory,
} from "../src/index.ts";

/** The `avcC` record that OpenH264 gives for 96 × 64 at 9 frames a second. */
const RECORD = Buffer.from("0142c00affe100106742c00a8c686249a80808083c2211a801000468ce3c80", "hex");

/** An encoder that keeps what it was given, and gives a packet of one byte more for every frame. */
export class FakeEncoder implements H264Encoder {
  readonly frames: Uint8Array[] = [];
  disposed = false;
  readonly #failAt: number;

  constructor(failAt: number) {
    this.#failAt = failAt;
  }

  encode(rgb: Uint8Array): EncodedVideoFrame {
    const index = this.frames.length;
    if (index === this.#failAt) throw new Error("no more bits");
    this.frames.push(new Uint8Array(rgb));
    const payload = new Uint8Array(index + 1).fill(index === 0 ? 0x65 : 0x41);
    const data = new Uint8Array(payload.length + 4);
    new DataView(data.buffer).setUint32(0, payload.length);
    data.set(payload, 4);
    return { data, keyframe: index % 5 === 0 };
  }

  decoderConfiguration(): Uint8Array {
    return RECORD;
  }

  dispose(): void {
    this.disposed = true;
  }
}

/** A factory of {@link FakeEncoder}s that keeps them; they fail at frame `failAt` if that is given. */
export class FakeEncoders implements VideoEncoderFactory {
  readonly created: { readonly options: H264EncoderOptions; readonly encoder: FakeEncoder }[] = [];
  readonly #failAt: number;

  constructor(failAt = -1) {
    this.#failAt = failAt;
  }

  create(options: H264EncoderOptions): Promise<FakeEncoder> {
    const encoder = new FakeEncoder(this.#failAt);
    this.created.push({ options, encoder });
    return Promise.resolve(encoder);
  }
}
