//! Functions that a GPU approximates: here to the last bit or nearly, within PTX's stated errors.

use std::marker::PhantomData;

use crate::ptx::{Instruction, PtxError};

use super::decoder::{Decoder, kind};
use super::float::{FTZ, canonical, flush};
use super::step::Unary;
use super::value::{Brain, Half, Small};

/// 2ˣ. The polynomial is Taylor's to the ninth power over ±½·ln 2: off by less than 2⁻³⁵.
#[inline(always)]
fn exp2(x: f32) -> f32 {
    // Adding 1.5·2⁵² leaves the nearest whole number in the lowest bits.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    const LN2: f64 = std::f64::consts::LN_2;
    let clamped = f64::from(x).clamp(-300.0, 300.0);
    let shifted = clamped + MAGIC;
    let power = shifted.to_bits().wrapping_add(1023) << 52;
    let t = (clamped - (shifted - MAGIC)) * LN2;
    let mut sum = 1.0 / 362_880.0;
    for factor in [1.0 / 40_320.0, 1.0 / 5_040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0] {
        sum = t.mul_add(sum, factor);
    }
    for factor in [0.5, 1.0, 1.0] {
        sum = t.mul_add(sum, factor);
    }
    let value = (sum * f64::from_bits(power)) as f32;
    if x.is_nan() { x } else { value }
}

/// log₂ x. The series is that of the inverse hyperbolic tangent: off by less than 2⁻³⁵.
#[inline(always)]
fn log2(x: f32) -> f32 {
    let bits = f64::from(x).to_bits();
    // The fraction between √½ and √2, and the exponent that belongs to it.
    let offset = bits.wrapping_sub(0x3fe6_a09e_667f_3bcd);
    let exponent = (offset as i64 >> 52) as i32;
    let fraction = f64::from_bits(bits.wrapping_sub((offset as i64 >> 52 << 52) as u64));
    let s = (fraction - 1.0) / (fraction + 1.0);
    let square = s * s;
    let mut sum = 1.0 / 13.0;
    for factor in [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0] {
        sum = square.mul_add(sum, factor);
    }
    let value = (s * sum).mul_add(2.0 * std::f64::consts::LOG2_E, f64::from(exponent)) as f32;
    let special = if x == 0.0 {
        f32::NEG_INFINITY
    } else if x < 0.0 {
        f32::NAN
    } else {
        x
    };
    if x > 0.0 && x < f32::INFINITY { value } else { special }
}

macro_rules! functions {
    ($($name:ident($x:ident) = $body:expr;)+) => {$(
        struct $name<const FLAGS: u32>;

        impl<const FLAGS: u32> Unary for $name<FLAGS> {
            type A = f32;
            type D = f32;

            #[inline(always)]
            fn apply(x: f32) -> f32 {
                let $x = flush::<FLAGS>(x);
                flush::<FLAGS>(canonical($body))
            }
        }
    )+};
}

functions! {
    Exp2(x) = exp2(x);
    Log2(x) = log2(x);
    Sine(x) = f64::from(x).sin() as f32;
    Cosine(x) = f64::from(x).cos() as f32;
    Tanh(x) = f64::from(x).tanh() as f32;
}

/// A function of float32 for a float of 16 bits.
struct Rounded<F, S>(PhantomData<(F, S)>);

impl<F: Unary<A = f32, D = f32>, S: Small> Unary for Rounded<F, S> {
    type A = S;
    type D = S;

    fn apply(x: S) -> S {
        S::from_f32(F::apply(x.to_f32()))
    }
}

macro_rules! by_type {
    ($decoder:ident, $i:ident, $ftz:ident, $operation:ident) => {
        match (kind($i), $ftz) {
            ("f32", false) => $decoder.unary::<$operation<0>>($i),
            ("f32", true) => $decoder.unary::<$operation<FTZ>>($i),
            ("f16", _) => $decoder.unary::<Rounded<$operation<0>, Half>>($i),
            ("bf16", _) => $decoder.unary::<Rounded<$operation<0>, Brain>>($i),
            _ => Err($decoder.unknown($i)),
        }
    };
}

/// Decodes `ex2`, `lg2`, `sin`, `cos` and `tanh`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    let ftz = match modifiers[..] {
        ["approx"] => false,
        ["approx", "ftz"] => true,
        _ => return Err(decoder.unknown(i)),
    };
    match i.name() {
        "ex2" => by_type!(decoder, i, ftz, Exp2),
        "lg2" => by_type!(decoder, i, ftz, Log2),
        "sin" => by_type!(decoder, i, ftz, Sine),
        "cos" => by_type!(decoder, i, ftz, Cosine),
        "tanh" => by_type!(decoder, i, ftz, Tanh),
        _ => Err(decoder.unknown(i)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f32, expected: f64) {
        let expected = expected as f32;
        let apart = (got.to_bits() as i64 - expected.to_bits() as i64).abs();
        assert!(apart <= 1 || got.is_nan() && expected.is_nan(), "{got:e} for {expected:e}");
    }

    #[test]
    fn powers_and_logarithms_are_right_to_the_last_bit_or_next_to_it() {
        for step in 0..200_000 {
            let x = step as f32 * 0.001_5 - 150.0;
            near(exp2(x), f64::from(x).exp2());
            let y = f32::from_bits(step * 10_007 + 1);
            near(log2(y), f64::from(y).log2());
        }
    }

    #[test]
    fn special_values_are_kept() {
        assert_eq!(exp2(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp2(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp2(200.0), f32::INFINITY);
        assert!(exp2(f32::NAN).is_nan());
        assert_eq!(log2(0.0), f32::NEG_INFINITY);
        assert_eq!(log2(f32::INFINITY), f32::INFINITY);
        assert!(log2(-1.0).is_nan() && log2(f32::NAN).is_nan());
        assert_eq!((exp2(10.0), log2(1024.0), log2(1.0)), (1024.0, 10.0, 0.0));
    }
}
