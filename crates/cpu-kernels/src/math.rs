//! Elementary functions and activations in single precision, written without branches so that the
//! compiler vectorises a loop over them for whichever instruction set the caller enables.
//!
//! Each is within a relative error of 1e-6 of the exact value, far tails included, as long as the
//! exponential in it is a normal number (e^-87 and above); infinities and NaN come out as the
//! formula says. No operation is
//! contracted to a fused multiply-add, so a value's bytes are the same in a vector's lanes, in a
//! loop's scalar tail and on every instruction set. The polynomials are minimax fits of this file's
//! own.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

/// 1.5 · 2²³: adding it to a small `f32` leaves the nearest integer in the low mantissa bits.
const ROUND_F32: f32 = 12_582_912.0;
/// 1.5 · 2⁵²: the same for `f64`.
const ROUND_F64: f64 = 6_755_399_441_055_744.0;
/// Where exp(x) has become infinite.
const EXP_OVERFLOW: f32 = 89.0;
/// Where exp(x) has become zero, subnormal numbers included.
const EXP_UNDERFLOW: f32 = -104.0;
/// ln 2 in two parts; the first has few enough bits that its product with an exponent is exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// (exp(r) - 1 - r) / r² on [-ln 2 / 2, ln 2 / 2].
#[inline(always)]
fn exp_remainder(r: f32) -> f32 {
    let q = 1.395_052_4e-3 * r + 8.368_908e-3;
    let q = q * r + 4.166_620_6e-2;
    let q = q * r + 1.666_651_8e-1;
    q * r + 0.5
}

/// `value` · 2^`exponent` for exponents from -252 to 254: two steps, as one factor may not be a
/// normal number.
#[inline(always)]
fn scale(value: f32, exponent: i32) -> f32 {
    let half = exponent >> 1;
    let power = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
    value * power(half) * power(exponent.wrapping_sub(half))
}

/// `value` held within [low, high]; a NaN stays.
#[inline(always)]
fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > high { high } else { value };
    if value < low { low } else { value }
}

/// `value` as exponent · ln 2 + r, with r within ± ln 2 / 2: (exponent, r).
#[inline(always)]
fn reduce(value: f32) -> (i32, f32) {
    let shifted = value * std::f32::consts::LOG2_E + ROUND_F32;
    let exponent = shifted - ROUND_F32;
    let r = value - exponent * LN_2_HIGH - exponent * LN_2_LOW;
    ((shifted.to_bits() as i32).wrapping_sub(ROUND_F32.to_bits() as i32), r)
}

/// e^x.
#[inline(always)]
pub fn exp_f32(x: f32) -> f32 {
    let (exponent, r) = reduce(clamp(x, EXP_UNDERFLOW, EXP_OVERFLOW));
    scale(1.0 + (r + r * r * exp_remainder(r)), exponent)
}

/// e^x of an argument that single precision would round too coarsely: an error of half a unit in
/// the last place of x = 80 is 4e-6 of e^x.
#[inline(always)]
fn exp_of_f64(x: f64) -> f32 {
    let x = if x > EXP_OVERFLOW as f64 { EXP_OVERFLOW as f64 } else { x };
    let x = if x < EXP_UNDERFLOW as f64 { EXP_UNDERFLOW as f64 } else { x };
    let shifted = x * LOG2_E + ROUND_F64;
    let exponent = shifted - ROUND_F64;
    let r = (x - exponent * LN_2) as f32;
    let exponent =
        ((exponent as f32 + ROUND_F32).to_bits() as i32).wrapping_sub(ROUND_F32.to_bits() as i32);
    scale(1.0 + (r + r * r * exp_remainder(r)), exponent)
}

/// tanh(x), through e^2|x| - 1 so that small arguments keep their relative precision.
#[inline(always)]
pub fn tanh_f32(x: f32) -> f32 {
    // tanh(20) is 1 to single precision.
    let (exponent, r) = reduce(2.0 * clamp(x.abs(), 0.0, 20.0));
    let p = r + r * r * exp_remainder(r);
    let power = scale(1.0, exponent);
    let exp_minus_one = power * p + (power - 1.0);
    (exp_minus_one / (exp_minus_one + 2.0)).copysign(x)
}

/// erfc(a) · e^(a²) for 0 ≤ a ≤ 10, as a polynomial in (a - 2) / (a + 2), over 1 + 2a.
#[inline(always)]
fn scaled_erfc(a: f32) -> f32 {
    let t = (a - 2.0) / (a + 2.0);
    let p = -3.994_466_7e-4 * t - 1.227_998_9e-3;
    let p = p * t + 1.313_307_1e-3;
    let p = p * t + 8.630_094e-3;
    let p = p * t - 8.060_142e-3;
    let p = p * t - 5.420_388_3e-2;
    let p = p * t + 1.640_554_2e-1;
    let p = p * t - 1.660_314_6e-1;
    let p = p * t - 9.276_398e-2;
    let p = p * t + 1.276_978_4;
    p / (1.0 + 2.0 * a)
}

/// erf(x).
#[inline(always)]
pub fn erf_f32(x: f32) -> f32 {
    let z = x * x;
    let p = 7.853_883e-5 * z - 8.010_201e-4;
    let p = p * z + 5.188_328_7e-3;
    let p = p * z - 2.685_381_3e-2;
    let p = p * z + 1.128_358_5e-1;
    let p = p * z - 3.761_262_7e-1;
    let p = p * z + 1.283_791e-1;
    let near = x + x * p;
    // erf(10) is 1 to single precision.
    let a = clamp(x.abs(), 0.0, 10.0);
    let far = (1.0 - exp_f32(-a * a) * scaled_erfc(a)).copysign(x);
    if x.abs() < 1.0 { near } else { far }
}

/// 1 / (1 + e^-y), where `exponential` is e^-|y|.
#[inline(always)]
fn sigmoid_from(exponential: f32, negative: bool) -> f32 {
    (if negative { exponential } else { 1.0 }) / (1.0 + exponential)
}

/// x · sigmoid(x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid_from(exp_f32(-x.abs()), x < 0.0)
}

/// x · Φ(x), with Φ the distribution function of the standard normal (by erf, not tanh).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let wide = x as f64;
    let a = clamp(x.abs() * FRAC_1_SQRT_2 as f32, 0.0, 10.0);
    let tail = 0.5 * exp_of_f64(-0.5 * wide * wide) * scaled_erfc(a);
    x * (if x < 0.0 { tail } else { 1.0 - tail })
}

/// x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2.
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    /// 2 √(2/π): (1 + tanh(u)) / 2 is sigmoid(2u).
    const TWICE_ROOT: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::SQRT_2;
    let wide = x as f64;
    let twice_u = TWICE_ROOT * wide * (1.0 + 0.044_715 * wide * wide);
    x * sigmoid_from(exp_of_f64(-twice_u.abs()), x < 0.0)
}

/// x · sigmoid(1.702 x).
#[inline(always)]
pub fn quick_gelu(x: f32) -> f32 {
    x * sigmoid_from(exp_of_f64(-(1.702 * x as f64).abs()), x < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erfc in double precision: the all-positive series near zero, the continued fraction beyond.
    fn erfc_f64(x: f64) -> f64 {
        let a = x.abs();
        let gauss = (-a * a).exp();
        let root_pi = std::f64::consts::PI.sqrt();
        let positive = if a < 2.0 {
            let (mut term, mut sum) = (a, a);
            for n in 1..100 {
                term *= 2.0 * a * a / (2 * n + 1) as f64;
                sum += term;
            }
            1.0 - 2.0 / root_pi * gauss * sum
        } else {
            let fraction = (1..200).rev().fold(a, |tail, n| a + n as f64 / 2.0 / tail);
            gauss / (root_pi * fraction)
        };
        if x < 0.0 { 2.0 - positive } else { positive }
    }

    fn erf_f64(x: f64) -> f64 {
        if x.abs() < 0.5 {
            let series = |n: i32| {
                let factorial: f64 = (1..=n).map(f64::from).product();
                (-1f64).powi(n) * x.powi(2 * n + 1) / (factorial * f64::from(2 * n + 1))
            };
            std::f64::consts::FRAC_2_SQRT_PI * (0..20).map(series).sum::<f64>()
        } else {
            1.0 - erfc_f64(x)
        }
    }

    /// The greatest relative error over points spread evenly and geometrically in ± `reach`,
    /// leaving out overflow, and tails where the exponential is below the normal numbers.
    fn worst(approximate: fn(f32) -> f32, exact: impl Fn(f64) -> f64, reach: f32) -> (f64, f32) {
        let even = (0..=200_000).map(|i| (i as f32 / 100_000.0 - 1.0) * reach);
        let tiny = (0..4_000).flat_map(|i| {
            let x = reach * 0.98f32.powi(i);
            [x, -x]
        });
        let mut worst = (0.0, 0.0);
        for x in even.chain(tiny) {
            let expected = exact(x as f64);
            let smallest = f32::MIN_POSITIVE as f64 * x.abs().max(1.0) as f64;
            if expected.abs() > f32::MAX as f64 || (expected.abs() < smallest && x.abs() > 1.0) {
                continue;
            }
            let error = (approximate(x) as f64 - expected).abs() / expected.abs();
            if error > worst.0 {
                worst = (error, x);
            }
        }
        worst
    }

    #[test]
    fn relative_error_is_below_one_in_a_million() {
        let sigmoid = |y: f64| 1.0 / (1.0 + (-y).exp());
        let root = (2.0 / std::f64::consts::PI).sqrt();
        type Case<'a> = (&'a str, fn(f32) -> f32, &'a dyn Fn(f64) -> f64, f32);
        let cases: [Case; 7] = [
            ("exp", exp_f32, &f64::exp, 95.0),
            ("tanh", tanh_f32, &f64::tanh, 30.0),
            ("erf", erf_f32, &erf_f64, 12.0),
            ("silu", silu, &|x| x * sigmoid(x), 120.0),
            ("gelu", gelu, &|x| 0.5 * x * erfc_f64(-x * FRAC_1_SQRT_2), 15.0),
            (
                "gelu_tanh",
                gelu_tanh,
                &|x| x * sigmoid(2.0 * root * (x + 0.044_715 * x * x * x)),
                15.0,
            ),
            ("quick_gelu", quick_gelu, &|x| x * sigmoid(1.702 * x), 60.0),
        ];
        for (name, approximate, exact, reach) in cases {
            let (error, x) = worst(approximate, exact, reach);
            assert!(error < 5e-7, "{name}({x}): relative error {error:e}");
        }
    }

    #[test]
    fn values_beyond_the_range() {
        assert_eq!(exp_f32(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp_f32(89.0), f32::INFINITY);
        assert_eq!(exp_f32(f32::NEG_INFINITY), 0.0);
        assert_eq!(tanh_f32(f32::NEG_INFINITY), -1.0);
        assert_eq!(erf_f32(f32::INFINITY), 1.0);
        assert_eq!(erf_f32(f32::NEG_INFINITY), -1.0);
        for activation in [silu, gelu, gelu_tanh, quick_gelu] {
            assert_eq!(activation(f32::INFINITY), f32::INFINITY);
            assert_eq!(activation(f32::MAX), f32::MAX);
            assert_eq!(activation(-1000.0), 0.0);
            assert_eq!(activation(0.0), 0.0);
            assert!(activation(f32::NAN).is_nan());
        }
        for function in [exp_f32, tanh_f32, erf_f32] {
            assert!(function(f32::NAN).is_nan());
        }
        assert!(tanh_f32(-0.0).is_sign_negative());
        assert!(erf_f32(-0.0).is_sign_negative());
    }

    #[test]
    fn exp_reaches_the_subnormal_numbers() {
        let expected = (-100.0f64).exp();
        assert!((exp_f32(-100.0) as f64 - expected).abs() < 2e-45);
    }
}
