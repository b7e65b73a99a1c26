import { H264EncoderError } from "./errors.ts";
import type { H264Encoder, H264EncoderOptions, VideoEncoderFactory } from "./h264-encoder.ts";

/**
 * OpenH264 in the native addon, which is loaded with the first stream. Its encoders throw
 * {@link H264EncoderError}.
 */
export const nativeVideoEncoderFactory: VideoEncoderFactory = {
  async create(options: H264EncoderOptions): Promise<H264Encoder> {
    const { NativeVideoEncoder } = await import("@wan-ts/binding");
    const encoder = callEncoder(() => new NativeVideoEncoder(options));
    return {
      encode: (rgb) => callEncoder(() => encoder.encode(rgb)),
      decoderConfiguration: () => callEncoder(() => encoder.decoderConfiguration()),
      dispose: () => encoder.dispose(),
    };
  },
};

function callEncoder<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw typedError(error);
  }
}

/** The addon's errors carry their facts as JSON; anything else comes back as it is. */
function typedError(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith("{")) return error;
  let facts: unknown;
  try {
    facts = JSON.parse(error.message);
  } catch {
    return error;
  }
  if (typeof facts !== "object" || facts === null || !("code" in facts) || !("message" in facts))
    return error;
  return new H264EncoderError(String(facts.code), String(facts.message));
}
