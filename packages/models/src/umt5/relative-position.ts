/** How distances between tokens share biases. */
export interface RelativePositionSettings {
  /** Buckets of both directions together. */
  readonly buckets: number;
  /** Distance from which all share the last bucket of their direction. */
  readonly maxDistance: number;
}

/**
 * The bucket of a relative position, key index − query index (Raffel et al. 2020, section 2.1): half
 * of the buckets for keys to the right; of each half, the lower half for exact distances, the rest
 * growing with the logarithm up to `maxDistance`. After transformers `models/umt5/modeling_umt5.py`,
 * `UMT5Attention._relative_position_bucket`.
 *
 * The logarithm is rounded to float32 step by step, as there: it decides on which side of an edge a
 * distance falls.
 */
export function relativePositionBucket(position: number, settings: RelativePositionSettings): number {
  const ofDirection = settings.buckets / 2;
  const first = position > 0 ? ofDirection : 0;
  const distance = Math.abs(position);
  const exact = Math.floor(ofDirection / 2);
  if (distance < exact) return first + distance;
  const logarithm = Math.fround(Math.log(Math.fround(distance / exact)));
  const share = Math.fround(logarithm / Math.fround(Math.log(settings.maxDistance / exact)));
  const beyondExact = Math.trunc(Math.fround(share * (ofDirection - exact)));
  return first + Math.min(exact + beyondExact, ofDirection - 1);
}

/** Buckets of all pairs of `length` tokens: `length` × `length`, queries × keys, row-major. */
export function relativePositionBuckets(length: number, settings: RelativePositionSettings): Int32Array {
  const byPosition = Int32Array.from({ length: 2 * length - 1 }, (_, index) =>
    relativePositionBucket(index - (length - 1), settings),
  );
  const buckets = new Int32Array(length * length);
  for (let query = 0; query < length; query++) {
    const first = length - 1 - query;
    buckets.set(byPosition.subarray(first, first + length), query * length);
  }
  return buckets;
}
