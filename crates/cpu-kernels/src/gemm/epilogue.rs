//! What happens to a finished sum on its way to the output.

use super::number::Number;
use crate::math::{gelu, gelu_tanh, quick_gelu, silu};

/// The function applied to each element of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// The value itself.
    None,
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), by the error function.
    Gelu,
    /// The tanh approximation of [`Activation::Gelu`].
    GeluTanh,
    /// x · sigmoid(1.702 x).
    QuickGelu,
}

impl Activation {
    /// Every activation, in declaration order.
    pub const ALL: [Activation; 5] = [
        Activation::None,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
    ];

    /// The function's value in single precision.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::None => x,
            Activation::Silu => silu(x),
            Activation::Gelu => gelu(x),
            Activation::GeluTanh => gelu_tanh(x),
            Activation::QuickGelu => quick_gelu(x),
        }
    }
}

/// [`super::kernel::Kernel::finish`] in plain Rust, to be inlined where the instruction set is
/// enabled: bias, rounding to the format, activation, rounding again.
///
/// # Safety
/// As `Kernel::finish`, with `COLUMNS` sums to a row.
#[inline(always)]
pub(crate) unsafe fn finish<N: Number, const COLUMNS: usize>(
    activation: Activation,
    sums: *const f32,
    bias: *const f32,
    rows: usize,
    columns: usize,
    output: *mut N::Element,
    output_stride: usize,
) {
    let rest = (sums, bias, rows, columns, output, output_stride);
    // SAFETY: the caller's promise is passed on as it is.
    unsafe {
        match activation {
            Activation::None => finish_with::<N, COLUMNS>(|x| x, rest),
            Activation::Silu => finish_with::<N, COLUMNS>(|x| silu(rounded::<N>(x)), rest),
            Activation::Gelu => finish_with::<N, COLUMNS>(|x| gelu(rounded::<N>(x)), rest),
            Activation::GeluTanh => finish_with::<N, COLUMNS>(|x| gelu_tanh(rounded::<N>(x)), rest),
            Activation::QuickGelu => {
                finish_with::<N, COLUMNS>(|x| quick_gelu(rounded::<N>(x)), rest)
            }
        }
    }
}

/// A separate activation would read the product as it was stored.
#[inline(always)]
fn rounded<N: Number>(value: f32) -> f32 {
    N::widen(N::narrow(value))
}

/// # Safety
/// As [`finish`].
#[inline(always)]
unsafe fn finish_with<N: Number, const COLUMNS: usize>(
    function: impl Fn(f32) -> f32,
    (sums, bias, rows, columns, output, output_stride): (
        *const f32,
        *const f32,
        usize,
        usize,
        *mut N::Element,
        usize,
    ),
) {
    // SAFETY: `bias` has `COLUMNS` values and a row of sums as many; an output row has `columns`.
    unsafe {
        let bias = &*bias.cast::<[f32; COLUMNS]>();
        for row in 0..rows {
            let sums = &*sums.add(row * COLUMNS).cast::<[f32; COLUMNS]>();
            let mut elements = [N::narrow(0.0); COLUMNS];
            for ((element, sum), bias) in elements.iter_mut().zip(sums).zip(bias) {
                *element = N::narrow(function(sum + bias));
            }
            let output = output.add(row * output_stride);
            std::ptr::copy_nonoverlapping(elements.as_ptr(), output, columns);
        }
    }
}
