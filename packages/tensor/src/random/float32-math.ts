/**
 * The float32 logarithm, sine and cosine that torch draws normal numbers with: those of Cephes (S. Moshier) in the
 * vector form of J. Pommier and G. Garberoglio, as a compiler with fused multiply-adds evaluates them. A correctly
 * rounded function would differ in the last bit of one number in a hundred.
 *
 * Arguments and results are numbers that hold float32 values.
 */

const float32 = Math.fround;

/** `a · b + c` of float32 values, rounded once to float32. */
export function fusedMultiplyAdd(a: number, b: number, c: number): number {
  // A product of two 24-bit significands is exact in float64; the sum may be rounded there, then again to float32.
  const product = a * b;
  const sum = product + c;
  const rounded = float32(sum);
  const rest = sum - rounded;
  const otherSide = rounded + 2 * rest;
  if (rest === 0 || float32(otherSide) !== otherSide) return rounded;
  // The float64 sum lies midway between two float32 values: what it lost (Knuth's two-sum) decides between them.
  const addend = sum - product;
  const lost = product - (sum - addend) + (c - addend);
  if (lost === 0) return rounded;
  return lost > 0 ? Math.max(rounded, otherSide) : Math.min(rounded, otherSide);
}

/** Bits of a uniform number: it is a multiple of 2^−24. */
const FRACTION_BITS = 24;

const SQRT_HALF = float32(Math.SQRT1_2);
const LOG_P0 = float32(7.0376836292e-2);
const LOG_P1 = float32(-1.151461031e-1);
const LOG_P2 = float32(1.167699874e-1);
const LOG_P3 = float32(-1.2420140846e-1);
const LOG_P4 = float32(1.4249322787e-1);
const LOG_P5 = float32(-1.6668057665e-1);
const LOG_P6 = float32(2.0000714765e-1);
const LOG_P7 = float32(-2.4999993993e-1);
const LOG_P8 = float32(3.3333331174e-1);
/** log 2 as a sum of a number short enough for exact products with exponents, and a small one. */
const LOG_2_HIGH = 0.693359375;
const LOG_2_LOW = float32(-2.1219444e-4);

/**
 * Natural logarithm of `numerator / 2^24`.
 *
 * @param numerator a whole number from 1 to 2^24
 */
export function logarithmOfFraction(numerator: number): number {
  // numerator / 2^24 = significand · 2^exponent, the significand in [√½, √2).
  const bits = 32 - Math.clz32(numerator);
  let significand = numerator / 2 ** bits;
  let exponent = bits - FRACTION_BITS;
  if (significand < SQRT_HALF) {
    significand *= 2;
    exponent -= 1;
  }
  const x = significand - 1;
  const square = float32(x * x);
  let y = fusedMultiplyAdd(LOG_P0, x, LOG_P1);
  y = fusedMultiplyAdd(y, x, LOG_P2);
  y = fusedMultiplyAdd(y, x, LOG_P3);
  y = fusedMultiplyAdd(y, x, LOG_P4);
  y = fusedMultiplyAdd(y, x, LOG_P5);
  y = fusedMultiplyAdd(y, x, LOG_P6);
  y = fusedMultiplyAdd(y, x, LOG_P7);
  y = fusedMultiplyAdd(y, x, LOG_P8);
  y = fusedMultiplyAdd(float32(y * x), square, float32(exponent * LOG_2_LOW));
  y = fusedMultiplyAdd(-square, 0.5, y);
  return fusedMultiplyAdd(exponent, LOG_2_HIGH, float32(x + y));
}

const FOUR_OVER_PI = float32(1.27323954473516);
/** −π/4 in three parts of falling size. */
const MINUS_QUARTER_PI_1 = -0.78515625;
const MINUS_QUARTER_PI_2 = float32(-2.4187564849853516e-4);
const MINUS_QUARTER_PI_3 = float32(-3.774894977445941e-8);
const SIN_P0 = float32(-1.9515295891e-4);
const SIN_P1 = float32(8.3321608736e-3);
const SIN_P2 = float32(-1.6666654611e-1);
const COS_P0 = float32(2.443315711809948e-5);
const COS_P1 = float32(-1.388731625493765e-3);
const COS_P2 = float32(4.166664568298827e-2);

/** An angle less the nearest multiple of π/2, and which multiple. */
export interface ReducedAngle {
  /** The octant of the multiple: 0, 2, 4, 6 or 8. */
  readonly octant: number;
  /** Sine of the reduced angle. */
  readonly sine: number;
  /** Cosine of the reduced angle. */
  readonly cosine: number;
}

/**
 * Sine and cosine of an angle's distance from the nearest multiple of π/2.
 *
 * @param angle from 0 to 8192
 */
export function reduceAngle(angle: number): ReducedAngle {
  const octant = (Math.trunc(float32(angle * FOUR_OVER_PI)) + 1) & ~1;
  let x = fusedMultiplyAdd(octant, MINUS_QUARTER_PI_1, angle);
  x = fusedMultiplyAdd(octant, MINUS_QUARTER_PI_2, x);
  x = fusedMultiplyAdd(octant, MINUS_QUARTER_PI_3, x);
  const square = float32(x * x);

  let cosine = fusedMultiplyAdd(COS_P0, square, COS_P1);
  cosine = fusedMultiplyAdd(cosine, square, COS_P2);
  cosine = fusedMultiplyAdd(float32(cosine * square), square, -float32(square * 0.5));
  cosine = float32(cosine + 1);

  let sine = fusedMultiplyAdd(SIN_P0, square, SIN_P1);
  sine = fusedMultiplyAdd(sine, square, SIN_P2);
  sine = fusedMultiplyAdd(float32(sine * square), x, x);
  return { octant, sine, cosine };
}
