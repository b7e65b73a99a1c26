import type { VideoFrames } from "../src/video-frames.ts";

/** Frames of a coloured gradient that moves, float32 in [0, 1], shape (F, H, W, 3). */
export function movingGradient(numFrames: number, height: number, width: number): VideoFrames {
  const data = new Float32Array(numFrames * height * width * 3);
  let at = 0;
  for (let frame = 0; frame < numFrames; frame++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        data[at++] = 0.5 + 0.5 * Math.sin(x / 20 + frame / 4);
        data[at++] = y / height;
        data[at++] = 1 - (0.7 * x) / width;
      }
    }
  }
  return { data, numFrames, height, width };
}
