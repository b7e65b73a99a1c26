//! The floating-point formats that products read and write; all of them compute in `f32`.

use crate::DType;
use crate::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// A format in memory and its conversions.
pub(crate) trait Number: Copy + Send + Sync + 'static {
    /// What one element is in memory.
    type Element: Copy + Send + Sync;
    /// The format's name at run time.
    const DTYPE: DType;

    /// The exact value of an element.
    fn widen(element: Self::Element) -> f32;

    /// The nearest element, to even between two.
    fn narrow(value: f32) -> Self::Element;
}

/// IEEE single precision.
#[derive(Clone, Copy)]
pub(crate) struct Single;

/// bfloat16.
#[derive(Clone, Copy)]
pub(crate) struct Brain;

/// IEEE half precision.
#[derive(Clone, Copy)]
pub(crate) struct Half;

impl Number for Single {
    type Element = f32;
    const DTYPE: DType = DType::Float32;

    #[inline(always)]
    fn widen(element: f32) -> f32 {
        element
    }

    #[inline(always)]
    fn narrow(value: f32) -> f32 {
        value
    }
}

impl Number for Brain {
    type Element = u16;
    const DTYPE: DType = DType::BFloat16;

    #[inline(always)]
    fn widen(element: u16) -> f32 {
        bf16_to_f32(element)
    }

    #[inline(always)]
    fn narrow(value: f32) -> u16 {
        f32_to_bf16(value)
    }
}

impl Number for Half {
    type Element = u16;
    const DTYPE: DType = DType::Float16;

    #[inline(always)]
    fn widen(element: u16) -> f32 {
        f16_to_f32(element)
    }

    #[inline(always)]
    fn narrow(value: f32) -> u16 {
        f32_to_f16(value)
    }
}
