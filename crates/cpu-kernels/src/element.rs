//! Element types as Rust types, for loops that are generic over them.

use crate::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// bfloat16 in memory.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct BFloat16(pub u16);

/// IEEE half precision in memory.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Float16(pub u16);

/// An element: it widens to the type that loops compute in, and back.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// `f32` for floats, `i64` for integers.
    type Wide: Wide;

    /// The same value, exactly.
    fn widen(self) -> Self::Wide;

    /// The nearest element, to even between two; integers drop the fraction, saturate, and take
    /// NaN for 0.
    fn from_f32(value: f32) -> Self;

    /// The nearest element; narrower integers keep the low bits.
    fn from_i64(value: i64) -> Self;
}

/// A type that loops compute in.
pub(crate) trait Wide: Copy + Send + Sync + 'static {
    /// [`Element::from_f32`] or [`Element::from_i64`].
    fn narrow<T: Element>(self) -> T;

    /// A number rounded to nearest even, or without its fraction and within range.
    fn from_f64(value: f64) -> Self;
}

impl Wide for f32 {
    #[inline(always)]
    fn narrow<T: Element>(self) -> T {
        T::from_f32(self)
    }

    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

impl Wide for i64 {
    #[inline(always)]
    fn narrow<T: Element>(self) -> T {
        T::from_i64(self)
    }

    fn from_f64(value: f64) -> i64 {
        value as i64
    }
}

/// An element that is a float.
pub(crate) trait Float: Element<Wide = f32> {}

impl Float for f32 {}
impl Float for BFloat16 {}
impl Float for Float16 {}

macro_rules! float_element {
    ($type:ty, $widen:expr, $narrow:expr) => {
        impl Element for $type {
            type Wide = f32;

            #[inline(always)]
            fn widen(self) -> f32 {
                $widen(self)
            }

            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                $narrow(value)
            }

            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                $narrow(value as f32)
            }
        }
    };
}

float_element!(f32, |value| value, |value| value);
float_element!(BFloat16, |value: BFloat16| bf16_to_f32(value.0), |value| BFloat16(f32_to_bf16(
    value
)));
float_element!(Float16, |value: Float16| f16_to_f32(value.0), |value| Float16(f32_to_f16(value)));

macro_rules! integer_element {
    ($type:ty) => {
        impl Element for $type {
            type Wide = i64;

            #[inline(always)]
            fn widen(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            fn from_f32(value: f32) -> Self {
                value as $type
            }

            #[inline(always)]
            fn from_i64(value: i64) -> Self {
                value as $type
            }
        }
    };
}

integer_element!(i32);
integer_element!(i64);
integer_element!(i8);
integer_element!(u8);

/// `value`, rounded to an element and back.
#[inline(always)]
pub(crate) fn rounded<T: Float>(value: f32) -> f32 {
    T::from_f32(value).widen()
}

/// Evaluates an expression with `$type` standing for the Rust type of a float [`crate::DType`].
///
/// Panics for an integer: operations refuse those before a kernel runs.
macro_rules! for_float {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Float32 => {
                type $type = f32;
                $body
            }
            $crate::DType::BFloat16 => {
                type $type = $crate::element::BFloat16;
                $body
            }
            $crate::DType::Float16 => {
                type $type = $crate::element::Float16;
                $body
            }
            other => panic!("the kernel takes floats, not {}", other.name()),
        }
    };
}

/// Evaluates an expression with `$type` standing for the Rust type of a [`crate::DType`].
macro_rules! for_element {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Float32 => {
                type $type = f32;
                $body
            }
            $crate::DType::BFloat16 => {
                type $type = $crate::element::BFloat16;
                $body
            }
            $crate::DType::Float16 => {
                type $type = $crate::element::Float16;
                $body
            }
            $crate::DType::Int32 => {
                type $type = i32;
                $body
            }
            $crate::DType::Int64 => {
                type $type = i64;
                $body
            }
            $crate::DType::Int8 => {
                type $type = i8;
                $body
            }
            $crate::DType::UInt8 => {
                type $type = u8;
                $body
            }
        }
    };
}

pub(crate) use {for_element, for_float};
