//! Floats of 16 bits, and rounding that the processor has no instruction for.

/// The value of a float16.
#[inline(always)]
pub fn half_to(bits: u16) -> f32 {
    let sign = (u32::from(bits) & 0x8000) << 16;
    let rest = (u32::from(bits) & 0x7fff) << 13;
    // 2¹¹² moves the exponent's bias from 15 to 127, for subnormal numbers too.
    let scaled = f32::from_bits(rest) * f32::from_bits((127 + 112) << 23);
    let special = if rest >= 0x7c00 << 13 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled.to_bits() | special | sign)
}

/// The nearest float16, ties to even.
#[inline(always)]
pub fn half_from(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let rest = bits & 0x7fff_ffff;
    let normal = (rest.wrapping_add(0xc800_0fff).wrapping_add(rest >> 13 & 1)) >> 13;
    // Below 2⁻¹⁴ the spacing is 2⁻²⁴, which is that of float32 at 0.5.
    let subnormal = (f32::from_bits(rest) + 0.5).to_bits().wrapping_sub(126 << 23);
    let finite = if rest < 0x3880_0000 { subnormal } else { normal };
    let large = if rest > 0x7f80_0000 { 0x7fff } else { 0x7c00 };
    let magnitude = if rest >= 0x4780_0000 { large } else { finite } as u16;
    // The not-a-number that instructions make has no sign.
    magnitude | if magnitude == 0x7fff { 0 } else { sign }
}

/// The value of a bfloat16.
#[inline(always)]
pub fn bfloat_to(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The nearest bfloat16, ties to even.
#[inline(always)]
pub fn bfloat_from(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { 0x7fff } else { rounded as u16 }
}

/// A direction of rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, ties to even (`.rn`).
    Nearest,
    /// Towards zero (`.rz`).
    Zero,
    /// Towards minus infinity (`.rm`).
    Down,
    /// Towards plus infinity (`.rp`).
    Up,
}

/// `value` rounded to a float of `fraction` bits of fraction whose smallest normal number has the
/// exponent `least`, as a float64. `value` may itself be a sum rounded to odd.
pub fn round(value: f64, fraction: u32, least: i32, rounding: Rounding) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let exponent = ((value.to_bits() >> 52 & 0x7ff) as i32 - 1023).max(least);
    // Scaled so that one unit in the last place is 1; a power of two, in two steps for its range.
    let shift = fraction as i32 - exponent;
    let power = |exponent: i32| f64::from_bits(((1023 + exponent) as u64) << 52);
    let scaled = value * power(shift / 2) * power(shift - shift / 2);
    let whole = match rounding {
        Rounding::Nearest => scaled.round_ties_even(),
        Rounding::Zero => scaled.trunc(),
        Rounding::Down => scaled.floor(),
        Rounding::Up => scaled.ceil(),
    };
    let rounded = whole * power(-(shift / 2)) * power(-(shift - shift / 2));
    let largest = (2.0 - power(-(fraction as i32))) * power(1 - least);
    if rounded.abs() <= largest {
        return rounded.copysign(value);
    }
    let keeps_finite = match rounding {
        Rounding::Zero => true,
        Rounding::Down => value > 0.0,
        Rounding::Up => value < 0.0,
        Rounding::Nearest => false,
    };
    if keeps_finite { largest.copysign(value) } else { f64::INFINITY.copysign(value) }
}

/// `a + b` as a float64 whose last bit is 1 where the sum is inexact, so that rounding it again
/// to fewer bits gives what rounding the exact sum gives.
#[inline(always)]
pub fn sum_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let kept = sum - a;
    let error = (a - (sum - kept)) + (b - kept);
    odd(sum, if sum.is_finite() { error } else { 0.0 })
}

/// `a / b` as [`sum_to_odd`] sums.
pub fn quotient_to_odd(a: f64, b: f64) -> f64 {
    let quotient = a / b;
    if !quotient.is_finite() || quotient == 0.0 {
        return quotient;
    }
    odd(quotient, (-quotient).mul_add(b, a) * b.signum())
}

/// `√a` as [`sum_to_odd`] sums.
pub fn root_to_odd(a: f64) -> f64 {
    let root = a.sqrt();
    if !root.is_finite() || root == 0.0 {
        return root;
    }
    odd(root, (-root).mul_add(root, a))
}

/// `value` with its last bit set towards the exact one, which is larger where `error > 0`.
#[inline(always)]
fn odd(value: f64, error: f64) -> f64 {
    let bits = value.to_bits();
    // Away from zero where the error has the value's sign.
    let away = (error > 0.0) == (value > 0.0);
    let moved = if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if error != 0.0 && bits & 1 == 0 { moved } else { bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float16_comes_back() {
        for bits in 0..=u16::MAX {
            let value = half_to(bits);
            if value.is_nan() {
                assert!(bits & 0x7c00 == 0x7c00 && bits & 0x3ff != 0);
                assert_eq!(half_from(value), 0x7fff);
            } else {
                assert_eq!(half_from(value), bits);
                assert_eq!(round(f64::from(value), 10, -14, Rounding::Nearest), f64::from(value));
            }
        }
        assert_eq!(half_to(0x3c00), 1.0);
        assert_eq!(half_to(0x0001), 2.0_f32.powi(-24));
        assert_eq!(half_to(0xfbff), -65504.0);
    }

    #[test]
    fn both_ways_to_round_agree() {
        let mut state = 1_u32;
        for _ in 0..200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(state ^ state >> 15);
            if value.is_nan() {
                continue;
            }
            let half = round(f64::from(value), 10, -14, Rounding::Nearest) as f32;
            assert_eq!(half_to(half_from(value)).to_bits(), half.to_bits(), "{value:e}");
            let brain = round(f64::from(value), 7, -126, Rounding::Nearest) as f32;
            assert_eq!(bfloat_to(bfloat_from(value)).to_bits(), brain.to_bits(), "{value:e}");
            let same = round(f64::from(value), 23, -126, Rounding::Zero) as f32;
            assert_eq!(same.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn rounds_in_every_direction() {
        let at = |rounding| {
            [1.0 + 2.0_f64.powi(-11), -1.0 - 2.0_f64.powi(-11), 65519.0, 1e9]
                .map(|value| round(value, 10, -14, rounding))
        };
        let up = 1.0 + 2.0_f64.powi(-10);
        assert_eq!(at(Rounding::Nearest), [1.0, -1.0, 65504.0, f64::INFINITY]);
        assert_eq!(at(Rounding::Zero), [1.0, -1.0, 65504.0, 65504.0]);
        assert_eq!(at(Rounding::Down), [1.0, -up, 65504.0, 65504.0]);
        assert_eq!(at(Rounding::Up), [up, -1.0, f64::INFINITY, f64::INFINITY]);
    }

    #[test]
    fn sums_to_odd_don_t_round_twice() {
        // 1 + 2⁻¹¹ lies between two float16; what is added decides, though float64 can't hold it.
        let tie = 1.0 + 2.0_f64.powi(-11);
        let tiny = 2.0_f64.powi(-70);
        assert_eq!(
            round(sum_to_odd(tie, tiny), 10, -14, Rounding::Nearest),
            1.0 + 2.0_f64.powi(-10)
        );
        assert_eq!(round(sum_to_odd(tie, -tiny), 10, -14, Rounding::Nearest), 1.0);
        assert_eq!(round(sum_to_odd(tie, 0.0), 10, -14, Rounding::Nearest), 1.0);
        assert_eq!(round(quotient_to_odd(1.0, 3.0), 23, -126, Rounding::Up) as f32, 0.333_333_34);
        assert_eq!(root_to_odd(4.0), 2.0);
        assert!(root_to_odd(2.0).to_bits() & 1 == 1);
    }
}
