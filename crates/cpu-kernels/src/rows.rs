//! What kernels that treat a row (the last dimension) as a whole have in common.

use crate::element::{Element, Float, for_float};
use crate::walk::span;
use crate::{TensorMut, TensorRef};

/// Elements that a thread computes at a time.
const GRAIN: usize = 16 << 10;
/// Sums kept side by side: enough for the widest registers, and to hide an addition's latency.
const LANES: usize = 32;

/// Rows of `channels` elements that a thread computes at a time.
pub(crate) fn grain(channels: usize) -> usize {
    (GRAIN / channels.max(1)).max(1)
}

/// Σ term(element) over a row: element i goes to lane i mod 32, and lanes are added pairwise. The
/// order depends on the row's length alone.
#[inline(always)]
pub(crate) fn sum<T: Float>(row: &[T], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        // All terms first: widening 16-bit floats then vectorises by itself.
        let terms: [f32; LANES] = std::array::from_fn(|lane| term(chunk[lane].widen()));
        for (lane, term) in lanes.iter_mut().zip(terms) {
            *lane += term;
        }
    }
    for (lane, element) in lanes.iter_mut().zip(rest) {
        *lane += term(element.widen());
    }
    let lanes = halved::<LANES, 16>(lanes);
    let lanes = halved::<16, 8>(lanes);
    let lanes = halved::<8, 4>(lanes);
    let [a, b] = halved::<4, 2>(lanes);
    a + b
}

/// The sums of elements half the length apart.
#[inline(always)]
fn halved<const LENGTH: usize, const HALF: usize>(lanes: [f32; LENGTH]) -> [f32; HALF] {
    std::array::from_fn(|lane| lanes[lane] + lanes[lane + HALF])
}

/// The values of a parameter (C), of any float type and stride.
///
/// # Panics
/// Where it isn't of that shape.
pub(crate) fn parameter(view: &TensorRef, channels: usize) -> Vec<f32> {
    assert_eq!(view.shape(), [channels]);
    if channels == 0 {
        return Vec::new();
    }
    let stride = view.strides()[0];
    for_float!(view.dtype, T => {
        // SAFETY: the run is the view's own.
        let elements = unsafe { span::<T>(view, 0, channels, stride) };
        (0..channels).map(|channel| elements[channel * stride].widen()).collect()
    })
}

/// The shape of the rows of `output` and their size.
///
/// # Panics
/// Where it has no dimension.
pub(crate) fn split<'a>(output: &'a TensorMut) -> (&'a [usize], usize) {
    let (channels, rows) = output.shape().split_last().expect("rows have a dimension");
    (rows, *channels)
}

/// `count` rows of `channels` elements, `stride` apart.
///
/// # Safety
/// As [`span`], for the walk through the rows; and rows are consecutive elements.
pub(crate) unsafe fn rows<'a, T>(
    input: &TensorRef<'a>,
    offset: usize,
    count: usize,
    stride: usize,
    channels: usize,
) -> Rows<'a, T> {
    debug_assert!(channels <= 1 || input.strides().last() == Some(&1));
    // SAFETY: the last row begins (count - 1) · stride elements after the first, and each has
    // `channels` elements within the view.
    let elements = unsafe {
        let first = input.as_ptr::<T>().add(offset);
        std::slice::from_raw_parts(first, (count - 1) * stride + channels)
    };
    Rows { elements, stride, channels }
}

/// Rows at an even distance, which may be 0.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    elements: &'a [T],
    stride: usize,
    channels: usize,
}

impl<'a, T> Rows<'a, T> {
    /// Elements of a row.
    #[inline(always)]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// One row.
    #[inline(always)]
    pub fn row(&self, index: usize) -> &'a [T] {
        &self.elements[index * self.stride..][..self.channels]
    }
}
