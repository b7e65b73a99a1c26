import { logarithmOfFraction, reduceAngle } from "./float32-math.ts";
import { GeneratorArgumentError } from "./generator-argument-error.ts";
import { MersenneTwister } from "./mersenne-twister.ts";

/** Normal numbers are made this many at a time, 8 cosines and 8 sines. */
const BLOCK = 16;
const HALF_BLOCK = BLOCK / 2;
const FLOAT32_BITS = 24;
const TWO_PI_FLOAT32 = Math.fround(2 * Math.PI);
const MAX_COUNT = 2 ** 31 - 1;
const MIN_SEED = -(2n ** 63n);
const MAX_SEED = 2n ** 64n - 1n;

/**
 * Random numbers as `torch.Generator("cpu").manual_seed(seed)` draws them, bit for bit, draw after draw.
 *
 * Long draws follow torch's AVX2 code (aten/src/ATen/native/cpu/DistributionTemplates.h), which every x86 processor
 * with AVX2 takes, those with AVX-512 too. They are the same here on any processor.
 */
export class Generator {
  /** The seed as torch's `initial_seed` gives it: modulo 2^64. */
  readonly initialSeed: bigint;
  readonly #engine: MersenneTwister;
  /** The second of two numbers that a short draw made, for the next short draw. */
  #spareNormal: number | null = null;

  /**
   * @param seed a whole number from −2^63 to 2^64 − 1; a `number` must be a safe integer. Its low 32 bits seed the
   *   engine, as in torch.
   * @throws GeneratorArgumentError
   */
  constructor(seed: number | bigint) {
    if (typeof seed === "number" && !Number.isSafeInteger(seed)) {
      throw new GeneratorArgumentError("seed", "a safe integer, or a bigint", seed);
    }
    const wide = BigInt(seed);
    if (wide < MIN_SEED || wide > MAX_SEED) {
      throw new GeneratorArgumentError("seed", `a whole number from ${MIN_SEED} to ${MAX_SEED}`, seed);
    }
    this.initialSeed = BigInt.asUintN(64, wide);
    this.#engine = new MersenneTwister(Number(BigInt.asUintN(32, wide)));
  }

  /**
   * Draws standard normal numbers, as `torch.randn(count, generator=…)` in float32: a draw of several dimensions is
   * one of their product.
   *
   * A draw of 16 or more isn't the same numbers as shorter draws one after another.
   *
   * @param count a whole number from 0 to 2^31 − 1
   * @throws GeneratorArgumentError
   */
  randn(count: number): Float32Array {
    if (!Number.isInteger(count) || count < 0 || count > MAX_COUNT) {
      throw new GeneratorArgumentError("count", `a whole number from 0 to ${MAX_COUNT}`, count);
    }
    const values = new Float32Array(count);
    if (count < BLOCK) {
      for (let i = 0; i < count; i++) values[i] = this.#nextNormal();
      return values;
    }
    this.#fillUniform(values, 0);
    for (let start = 0; start + BLOCK <= count; start += BLOCK) uniformBlockToNormal(values, start);
    if (count % BLOCK !== 0) {
      // The last 16 are drawn anew, those of a whole block before them too.
      this.#fillUniform(values, count - BLOCK);
      uniformBlockToNormal(values, count - BLOCK);
    }
    return values;
  }

  /** Fills from `start` with whole numbers in [0, 2^24): uniform numbers times 2^24. */
  #fillUniform(values: Float32Array, start: number): void {
    const mask = 2 ** FLOAT32_BITS - 1;
    for (let i = start; i < values.length; i++) values[i] = this.#engine.nextInt32() & mask;
  }

  /** A uniform float64 number in [0, 1) of 53 bits; the first word drawn holds the high ones. */
  #nextUniform(): number {
    const high = this.#engine.nextInt32() & (2 ** 21 - 1);
    const low = this.#engine.nextInt32() >>> 0;
    return (high * 2 ** 32 + low) * 2 ** -53;
  }

  /** Box-Muller in float64 (aten/src/ATen/core/DistributionsHelper.h); it makes two numbers and saves one. */
  #nextNormal(): number {
    if (this.#spareNormal !== null) {
      const spare = this.#spareNormal;
      this.#spareNormal = null;
      return spare;
    }
    const theta = 2 * Math.PI * this.#nextUniform();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#nextUniform()));
    this.#spareNormal = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }
}

/** Box-Muller in float32 over 16 uniform numbers times 2^24: radii of the first 8, angles of the last 8. */
function uniformBlockToNormal(values: Float32Array, start: number): void {
  const denominator = 2 ** FLOAT32_BITS;
  for (let i = start; i < start + HALF_BLOCK; i++) {
    const logarithm = logarithmOfFraction(denominator - values[i]!);
    const radius = Math.fround(Math.sqrt(-2 * logarithm));
    const theta = Math.fround(TWO_PI_FLOAT32 * (values[i + HALF_BLOCK]! / denominator));
    const { octant, sine, cosine } = reduceAngle(theta);
    // Octants 2 and 6 swap the two, 4 and 6 turn the sine, 2 and 4 the cosine.
    const swapped = (octant & 2) !== 0;
    const sineOfTheta = ((octant & 4) === 0 ? 1 : -1) * (swapped ? cosine : sine);
    const cosineOfTheta = (((octant + 2) & 4) === 0 ? 1 : -1) * (swapped ? sine : cosine);
    // torch adds a mean of 0, which makes −0 a +0.
    values[i] = Math.fround(radius * cosineOfTheta) + 0;
    values[i + HALF_BLOCK] = Math.fround(radius * sineOfTheta) + 0;
  }
}
