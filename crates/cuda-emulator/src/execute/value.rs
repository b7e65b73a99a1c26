//! What instructions take registers for.

use crate::ptx::Immediate;

use super::half::{bfloat_from, bfloat_to, half_from, half_to};
use super::warp::Word;

/// A value in a lane of a register.
pub trait Value: Copy + 'static {
    /// The register that holds it.
    type Word: Word;

    /// The value of a register.
    fn read(word: Self::Word) -> Self;

    /// The register of a value.
    fn write(self) -> Self::Word;

    /// The register that holds a number written in an instruction; none where that is no number
    /// of this kind.
    fn immediate(immediate: Immediate) -> Option<Self::Word>;
}

macro_rules! integers {
    ($($type:ty, $unsigned:ty, $word:ty;)+) => {$(
        impl Value for $type {
            type Word = $word;

            #[inline(always)]
            fn read(word: $word) -> $type {
                word as $type
            }

            #[inline(always)]
            fn write(self) -> $word {
                <$word>::from(self as $unsigned)
            }

            fn immediate(immediate: Immediate) -> Option<$word> {
                let bits = match immediate {
                    Immediate::Integer(value) => value,
                    Immediate::F32(bits) => u64::from(bits),
                    Immediate::F64(bits) => bits,
                };
                Some((bits as $unsigned).into())
            }
        }
    )+};
}

integers! {
    u8, u8, u32;
    i8, u8, u32;
    u16, u16, u32;
    i16, u16, u32;
    u32, u32, u32;
    i32, u32, u32;
    u64, u64, u64;
    i64, u64, u64;
}

impl Value for f32 {
    type Word = u32;

    #[inline(always)]
    fn read(word: u32) -> f32 {
        f32::from_bits(word)
    }

    #[inline(always)]
    fn write(self) -> u32 {
        self.to_bits()
    }

    fn immediate(immediate: Immediate) -> Option<u32> {
        match immediate {
            Immediate::F32(bits) => Some(bits),
            Immediate::F64(bits) => Some((f64::from_bits(bits) as f32).to_bits()),
            Immediate::Integer(_) => None,
        }
    }
}

impl Value for f64 {
    type Word = u64;

    #[inline(always)]
    fn read(word: u64) -> f64 {
        f64::from_bits(word)
    }

    #[inline(always)]
    fn write(self) -> u64 {
        self.to_bits()
    }

    fn immediate(immediate: Immediate) -> Option<u64> {
        match immediate {
            Immediate::F32(bits) => Some(f64::from(f32::from_bits(bits)).to_bits()),
            Immediate::F64(bits) => Some(bits),
            Immediate::Integer(_) => None,
        }
    }
}

/// A floating-point number of 16 bits.
pub trait Small: Value<Word = u32> + Default {
    /// Its bits.
    fn bits(self) -> u16;

    /// The number with these bits.
    fn from_bits(bits: u16) -> Self;

    /// Its value.
    fn to_f32(self) -> f32;

    /// The nearest number, ties to even.
    fn from_f32(value: f32) -> Self;

    /// Bits of the fraction.
    const FRACTION: u32;

    /// Exponent of the smallest normal number.
    const LEAST: i32;

    /// Bits of the not-a-number that instructions make.
    const NAN: u16 = 0x7fff;
}

macro_rules! small {
    ($($(#[$doc:meta])* $name:ident: $to:path, $from:path, $fraction:literal, $least:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub u16);

        impl Value for $name {
            type Word = u32;

            #[inline(always)]
            fn read(word: u32) -> $name {
                $name(word as u16)
            }

            #[inline(always)]
            fn write(self) -> u32 {
                u32::from(self.0)
            }

            fn immediate(immediate: Immediate) -> Option<u32> {
                u16::immediate(immediate)
            }
        }

        impl Small for $name {
            #[inline(always)]
            fn bits(self) -> u16 {
                self.0
            }

            #[inline(always)]
            fn from_bits(bits: u16) -> $name {
                $name(bits)
            }

            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self.0)
            }

            #[inline(always)]
            fn from_f32(value: f32) -> $name {
                $name($from(value))
            }

            const FRACTION: u32 = $fraction;
            const LEAST: i32 = $least;
        }
    )+};
}

small! {
    /// IEEE float16.
    Half: half_to, half_from, 10, -14;
    /// bfloat16.
    Brain: bfloat_to, bfloat_from, 7, -126;
}

/// Two floats of 16 bits, the first in the lower half.
#[derive(Clone, Copy, Debug)]
pub struct Two<S>(pub S, pub S);

impl<S: Small> Value for Two<S> {
    type Word = u32;

    #[inline(always)]
    fn read(word: u32) -> Two<S> {
        Two(S::from_bits(word as u16), S::from_bits((word >> 16) as u16))
    }

    #[inline(always)]
    fn write(self) -> u32 {
        u32::from(self.0.bits()) | u32::from(self.1.bits()) << 16
    }

    fn immediate(immediate: Immediate) -> Option<u32> {
        u32::immediate(immediate)
    }
}
