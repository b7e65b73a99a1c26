//! What the tests of products and convolutions share.

use super::number::Number;
use crate::{Cpu, InstructionSet, Layout, TensorMut, TensorRef, ThreadPool};

/// Numbers in (-1, 1), the same for the same seed, each a value of format `N`.
pub(crate) fn random<N: Number>(count: usize, seed: u64) -> Vec<N::Element> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        N::narrow((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// A read view of format `N` with these strides.
pub(crate) fn view<'a, N: Number>(
    elements: &'a [N::Element],
    shape: &[usize],
    strides: &[usize],
) -> TensorRef<'a> {
    let layout = Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset: 0 };
    assert!(layout.end() <= elements.len());
    // SAFETY: the slice holds the layout's elements and is borrowed as long as the view.
    unsafe { TensorRef::new(elements.as_ptr().cast(), N::DTYPE, layout) }
}

/// A contiguous read view of format `N`.
pub(crate) fn whole<'a, N: Number>(elements: &'a [N::Element], shape: &[usize]) -> TensorRef<'a> {
    view::<N>(elements, shape, &Layout::contiguous(shape).strides)
}

/// Elements of the shape, filled by `kernel`; what lies behind them must stay untouched.
pub(crate) fn filled<N: Number>(
    shape: &[usize],
    kernel: impl FnOnce(&TensorMut),
) -> Vec<N::Element> {
    const GUARD: usize = 64;
    let count: usize = shape.iter().product();
    let guard = N::narrow(-77.0);
    let mut elements = vec![guard; count + GUARD];
    // SAFETY: the vector has the shape's elements and is borrowed by nothing else meanwhile.
    let output = unsafe { TensorMut::new(elements.as_mut_ptr().cast(), N::DTYPE, shape) };
    kernel(&output);
    let behind = elements.split_off(count);
    assert!(behind.iter().all(|&element| N::widen(element) == -77.0), "wrote behind the output");
    elements
}

/// Runs `test` with each instruction set of this machine and a pool of `threads`.
pub(crate) fn on_each_set(threads: usize, test: impl Fn(&Cpu)) {
    let pool = ThreadPool::new(threads);
    for instruction_set in InstructionSet::available() {
        test(&Cpu { pool: &pool, instruction_set });
    }
}

/// The bytes of elements, to compare what `==` on floats doesn't tell apart.
pub(crate) fn bytes<E: Copy>(elements: &[E]) -> &[u8] {
    // SAFETY: elements are numbers without padding, and any byte may be read as `u8`.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

/// The greatest error of rounding `value` to format `N`: half a unit in the last place.
pub(crate) fn rounding<N: Number>(value: f64) -> f64 {
    let smallest = if N::DTYPE == crate::DType::Float16 { 2f64.powi(-25) } else { 0.0 };
    (unit::<N>() * value.abs()).max(smallest)
}

/// Half the distance between neighbours of format `N` at 1.
fn unit<N: Number>() -> f64 {
    match N::DTYPE {
        crate::DType::BFloat16 => 2f64.powi(-8),
        crate::DType::Float16 => 2f64.powi(-11),
        _ => 2f64.powi(-24),
    }
}
