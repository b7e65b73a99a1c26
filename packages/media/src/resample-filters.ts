/** A resampling filter of PIL that is a convolution. */
export interface ResampleFilter {
  /** Pixels each way, at scale 1, beyond which the weight is 0. */
  readonly support: number;
  /** The weight at a distance in pixels, before normalization. */
  readonly weight: (distance: number) => number;
}

/** a of Keys' cubic convolution (1981); PIL has −0.5, OpenCV and torch −0.75. */
const CUBIC = -0.5;

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** PIL's convolution filters by their names there, in lower case. */
export const resampleFilters = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => (Math.abs(x) >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI))),
  },
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * CUBIC : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, ResampleFilter>;

/** Ways to resize: PIL's convolution filters, and "nearest". */
export const resampleNames = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] as const;

/** One of {@link resampleNames}. */
export type ResampleName = (typeof resampleNames)[number];
