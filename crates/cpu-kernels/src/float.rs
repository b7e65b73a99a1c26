//! Conversions between `f32` and other float types, rounding to nearest even.

/// `f32` to bfloat16 bits, to nearest even; a NaN stays a (quiet) NaN.
#[inline(always)]
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return ((bits >> 16) | 0x0040) as u16;
    }
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// bfloat16 bits to `f32`, exact.
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// `f32` to IEEE half bits, to nearest even, with subnormals and infinities.
#[inline(always)]
pub fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    // All cases are computed and one is taken: without branches a loop of these vectorises.
    let odd = (magnitude >> 13) & 1;
    let normal = magnitude.wrapping_sub(0x3800_0000).wrapping_add(0x0fff + odd) >> 13;
    // Subnormal half: adding 0.5 lines the 2^-24 unit up with the last mantissa bit, so that the
    // addition itself rounds to nearest even.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let rounded = if magnitude < 0x3880_0000 { subnormal } else { normal };
    // 65520 is the first value that rounds to infinity.
    let rounded = if magnitude >= 0x477f_f000 { 0x7c00 } else { rounded };
    let rounded = if magnitude > 0x7f80_0000 { 0x7e00 } else { rounded };
    sign | rounded as u16
}

/// IEEE half bits to `f32`, exact.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    /// 2^112, the difference of the exponents' biases as a factor: exact for subnormals too.
    const REBIAS: f32 = f32::from_bits(0x7780_0000);
    let magnitude = (f32::from_bits(((bits & 0x7fff) as u32) << 13) * REBIAS).to_bits();
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(((bits & 0x8000) as u32) << 16 | magnitude | special)
}

/// `value` rounded to `f32`, and the rest of it rounded: their sum is off by a relative 2^-48 at most.
///
/// The rest is 0 where there is no finite `f32` to add it to; NaN is one and the same NaN.
#[inline(always)]
pub fn two_floats(value: f64) -> [f32; 2] {
    let rounded = if value.is_nan() { f32::NAN } else { value as f32 };
    [rounded, if rounded.is_finite() { (value - f64::from(rounded)) as f32 } else { 0.0 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_floats_have_twice_the_digits() {
        for value in [0.1, -20.300_000_001, 1e-3, 88.7, 1e30, -0.0, 3.0] {
            let [rounded, residue] = two_floats(value);
            assert_eq!(rounded, value as f32);
            let error = f64::from(rounded) + f64::from(residue) - value;
            assert!(error.abs() <= 2f64.powi(-48) * value.abs(), "{value}: off by {error:e}");
        }
        for (value, rounded) in [
            (f64::NEG_INFINITY, f32::NEG_INFINITY),
            (f64::INFINITY, f32::INFINITY),
            (f64::MAX, f32::INFINITY),
            (-f64::NAN, f32::NAN),
        ] {
            assert_eq!(two_floats(value).map(f32::to_bits), [rounded, 0.0].map(f32::to_bits));
        }
    }

    #[test]
    fn every_half_survives_a_round_trip() {
        for bits in 0..=u16::MAX {
            let value = f16_to_f32(bits);
            if value.is_nan() {
                assert!(f16_to_f32(f32_to_f16(value)).is_nan());
            } else {
                assert_eq!(f32_to_f16(value), bits);
            }
        }
    }

    #[test]
    fn halves_round_to_nearest_even() {
        for bits in 0..0x7bffu16 {
            let (low, high) = (f16_to_f32(bits), f16_to_f32(bits + 1));
            let middle = (low as f64 + high as f64) / 2.0;
            let even = if bits & 1 == 0 { bits } else { bits + 1 };
            assert_eq!(f32_to_f16(middle as f32), even, "between {low} and {high}");
        }
        assert_eq!(f32_to_f16(65519.0), 0x7bff);
        assert_eq!(f32_to_f16(65520.0), 0x7c00);
        assert_eq!(f32_to_f16(f32::NEG_INFINITY), 0xfc00);
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even_and_keeps_nan() {
        assert_eq!(f32_to_bf16(1.0), 0x3f80);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(f32_to_bf16(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(f32_to_bf16(f32::INFINITY), 0x7f80);
        assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
