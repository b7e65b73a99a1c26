//! Arithmetic of whole numbers.

use std::marker::PhantomData;

use crate::ptx::{Instruction, PtxError};

use super::carry;
use super::decoder::{Decoder, kind};
use super::step::{Binary, Ternary, Unary};
use super::value::Value;

/// What the instructions need of a type of whole numbers.
pub trait Integer: Value + Ord {
    /// Twice as many bits.
    type Wide: Value;

    /// `a + b`, the carry dropped.
    fn sum(a: Self, b: Self) -> Self;
    /// `a - b`, the borrow dropped.
    fn difference(a: Self, b: Self) -> Self;
    /// The lower half of `a · b`.
    fn low(a: Self, b: Self) -> Self;
    /// The upper half of `a · b`.
    fn high(a: Self, b: Self) -> Self;
    /// All of `a · b`.
    fn wide(a: Self, b: Self) -> Self::Wide;
    /// `a + b` of twice as many bits.
    fn wide_sum(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// `a / b`; all ones where `b` is 0, which PTX leaves open.
    fn quotient(a: Self, b: Self) -> Self;
    /// The rest of `a / b`; `a` where `b` is 0.
    fn rest(a: Self, b: Self) -> Self;
    /// `|a|`.
    fn magnitude(a: Self) -> Self;
    /// `a + b`, kept within the type's range.
    fn saturating_sum(a: Self, b: Self) -> Self;
    /// `a - b`, kept within the type's range.
    fn saturating_difference(a: Self, b: Self) -> Self;
    /// 0.
    const ZERO: Self;
    /// All bits 1.
    const ONES: Self;
}

macro_rules! integers {
    ($($type:ty, $wide:ty, $value:ty, $magnitude:expr;)+) => {$(
        impl Integer for $type {
            type Wide = $value;

            #[inline(always)]
            fn sum(a: $type, b: $type) -> $type {
                a.wrapping_add(b)
            }

            #[inline(always)]
            fn difference(a: $type, b: $type) -> $type {
                a.wrapping_sub(b)
            }

            #[inline(always)]
            fn low(a: $type, b: $type) -> $type {
                a.wrapping_mul(b)
            }

            #[inline(always)]
            fn high(a: $type, b: $type) -> $type {
                ((<$wide>::from(a) * <$wide>::from(b)) >> <$type>::BITS) as $type
            }

            #[inline(always)]
            fn wide(a: $type, b: $type) -> $value {
                (a as $value).wrapping_mul(b as $value)
            }

            #[inline(always)]
            fn wide_sum(a: $value, b: $value) -> $value {
                a.wrapping_add(b)
            }

            #[inline(always)]
            fn quotient(a: $type, b: $type) -> $type {
                if b == 0 { Self::ONES } else { a.wrapping_div(b) }
            }

            #[inline(always)]
            fn rest(a: $type, b: $type) -> $type {
                if b == 0 { a } else { a.wrapping_rem(b) }
            }

            #[inline(always)]
            fn magnitude(a: $type) -> $type {
                $magnitude(a)
            }

            #[inline(always)]
            fn saturating_sum(a: $type, b: $type) -> $type {
                a.saturating_add(b)
            }

            #[inline(always)]
            fn saturating_difference(a: $type, b: $type) -> $type {
                a.saturating_sub(b)
            }

            const ZERO: $type = 0;
            const ONES: $type = !0;
        }
    )+};
}

integers! {
    i16, i32, i32, i16::wrapping_abs;
    u16, u32, u32, std::convert::identity;
    i32, i64, i64, i32::wrapping_abs;
    u32, u64, u64, std::convert::identity;
    i64, i128, i64, i64::wrapping_abs;
    u64, u128, u64, std::convert::identity;
}

macro_rules! binaries {
    ($($name:ident = $function:ident;)+) => {$(
        struct $name<T>(PhantomData<T>);

        impl<T: Integer> Binary for $name<T> {
            type A = T;
            type B = T;
            type D = T;

            #[inline(always)]
            fn apply(a: T, b: T) -> T {
                T::$function(a, b)
            }
        }
    )+};
}

binaries! {
    Add = sum;
    Subtract = difference;
    MultiplyLow = low;
    MultiplyHigh = high;
    Divide = quotient;
    Remainder = rest;
    Minimum = min;
    Maximum = max;
    AddSaturating = saturating_sum;
    SubtractSaturating = saturating_difference;
}

struct MultiplyWide<T>(PhantomData<T>);

impl<T: Integer> Binary for MultiplyWide<T> {
    type A = T;
    type B = T;
    type D = T::Wide;

    #[inline(always)]
    fn apply(a: T, b: T) -> T::Wide {
        T::wide(a, b)
    }
}

struct MultiplyAddLow<T>(PhantomData<T>);

impl<T: Integer> Ternary for MultiplyAddLow<T> {
    type A = T;
    type B = T;
    type C = T;
    type D = T;

    #[inline(always)]
    fn apply(a: T, b: T, c: T) -> T {
        T::sum(T::low(a, b), c)
    }
}

struct MultiplyAddHigh<T>(PhantomData<T>);

impl<T: Integer> Ternary for MultiplyAddHigh<T> {
    type A = T;
    type B = T;
    type C = T;
    type D = T;

    #[inline(always)]
    fn apply(a: T, b: T, c: T) -> T {
        T::sum(T::high(a, b), c)
    }
}

struct MultiplyAddWide<T>(PhantomData<T>);

impl<T: Integer> Ternary for MultiplyAddWide<T> {
    type A = T;
    type B = T;
    type C = T::Wide;
    type D = T::Wide;

    #[inline(always)]
    fn apply(a: T, b: T, c: T::Wide) -> T::Wide {
        T::wide_sum(T::wide(a, b), c)
    }
}

struct Absolute<T>(PhantomData<T>);

impl<T: Integer> Unary for Absolute<T> {
    type A = T;
    type D = T;

    #[inline(always)]
    fn apply(a: T) -> T {
        T::magnitude(a)
    }
}

struct Negate<T>(PhantomData<T>);

impl<T: Integer> Unary for Negate<T> {
    type A = T;
    type D = T;

    #[inline(always)]
    fn apply(a: T) -> T {
        T::difference(T::ZERO, a)
    }
}

macro_rules! by_type {
    ($decoder:ident, $instruction:ident, $method:ident, $operation:ident) => {
        match kind($instruction) {
            "s16" | "b16" => $decoder.$method::<$operation<i16>>($instruction),
            "u16" => $decoder.$method::<$operation<u16>>($instruction),
            "s32" | "b32" => $decoder.$method::<$operation<i32>>($instruction),
            "u32" => $decoder.$method::<$operation<u32>>($instruction),
            "s64" | "b64" => $decoder.$method::<$operation<i64>>($instruction),
            "u64" => $decoder.$method::<$operation<u64>>($instruction),
            _ => Err($decoder.unknown($instruction)),
        }
    };
}

macro_rules! by_type_wide {
    ($decoder:ident, $instruction:ident, $method:ident, $operation:ident) => {
        match kind($instruction) {
            "s16" => $decoder.$method::<$operation<i16>>($instruction),
            "u16" => $decoder.$method::<$operation<u16>>($instruction),
            "s32" => $decoder.$method::<$operation<i32>>($instruction),
            "u32" => $decoder.$method::<$operation<u32>>($instruction),
            _ => Err($decoder.unknown($instruction)),
        }
    };
}

/// Decodes the arithmetic of whole numbers.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let name = i.name();
    if i.has("cc") || matches!(name, "addc" | "subc" | "madc") {
        return carry::decode(decoder, i);
    }
    // All modifiers but the type; what isn't among the known ones is refused.
    let mut modifiers: Vec<&str> = i.modifiers().collect();
    modifiers.pop();
    match (name, &modifiers[..]) {
        ("add", []) => by_type!(decoder, i, binary, Add),
        ("add", ["sat"]) => by_type!(decoder, i, binary, AddSaturating),
        ("sub", []) => by_type!(decoder, i, binary, Subtract),
        ("sub", ["sat"]) => by_type!(decoder, i, binary, SubtractSaturating),
        ("mul", ["lo"]) => by_type!(decoder, i, binary, MultiplyLow),
        ("mul", ["hi"]) => by_type!(decoder, i, binary, MultiplyHigh),
        ("mul", ["wide"]) => by_type_wide!(decoder, i, binary, MultiplyWide),
        ("mad", ["lo"]) => by_type!(decoder, i, ternary, MultiplyAddLow),
        ("mad", ["hi"]) => by_type!(decoder, i, ternary, MultiplyAddHigh),
        ("mad", ["wide"]) => by_type_wide!(decoder, i, ternary, MultiplyAddWide),
        ("div", []) => by_type!(decoder, i, binary, Divide),
        ("rem", []) => by_type!(decoder, i, binary, Remainder),
        ("min", []) => by_type!(decoder, i, binary, Minimum),
        ("max", []) => by_type!(decoder, i, binary, Maximum),
        ("abs", []) => by_type!(decoder, i, unary, Absolute),
        ("neg", []) => by_type!(decoder, i, unary, Negate),
        _ => Err(decoder.unknown(i)),
    }
}
