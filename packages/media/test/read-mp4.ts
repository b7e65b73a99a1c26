import { BufferSource, EncodedPacketSink, Input, MP4 } from "mediabunny";

/** A frame of an MP4 file's video track. */
export interface Mp4Packet {
  readonly keyframe: boolean;
  /** Seconds. */
  readonly timestamp: number;
  /** Seconds. */
  readonly duration: number;
  readonly data: Uint8Array;
}

/** Reads an MP4 file's video track, frames in the order of the file. */
export async function readMp4(bytes: Uint8Array) {
  using input = new Input({ source: new BufferSource(bytes), formats: [MP4] });
  const tracks = await input.getTracks();
  const track = await input.getPrimaryVideoTrack();
  if (track === null) throw new Error("no video track");
  const packets: Mp4Packet[] = [];
  for await (const packet of new EncodedPacketSink(track).packets()) {
    const { timestamp, duration, data } = packet;
    packets.push({ keyframe: packet.type === "key", timestamp, duration, data });
  }
  return {
    tracks: tracks.length,
    duration: await input.computeDuration(),
    codec: await track.getCodecParameterString(),
    colorSpace: await track.getColorSpace(),
    width: await track.getDisplayWidth(),
    height: await track.getDisplayHeight(),
    decoderConfig: await track.getDecoderConfig(),
    averageRate: (await track.computePacketStats()).averagePacketRate,
    packets,
  };
}

/** Types of the boxes at the top of an MP4 file, in order. */
export function topBoxes(bytes: Uint8Array): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const types: string[] = [];
  for (let at = 0; at < bytes.length; at += view.getUint32(at)) {
    types.push(Buffer.from(bytes.subarray(at + 4, at + 8)).toString("latin1"));
  }
  return types;
}
