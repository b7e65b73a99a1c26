/** A video's size in frames and pixels. */
export interface VideoSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/** Videos that Wan's models are published for, at 480p. */
export const videos = {
  at480p21: { frames: 21, height: 480, width: 832 },
  at480p81: { frames: 81, height: 480, width: 832 },
} as const satisfies Record<string, VideoSize>;

/** Frames, rows and columns of the latents' tokens: 4 frames but the first, and 16 × 16 pixels, a token. */
export function tokenGrid({ frames, height, width }: VideoSize): [number, number, number] {
  return [(frames - 1) / 4 + 1, height / 16, width / 16];
}

/** The tokens of a video. */
export function tokenCount(size: VideoSize): number {
  return tokenGrid(size).reduce((product, extent) => product * extent, 1);
}
