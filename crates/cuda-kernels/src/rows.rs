//! What kernels that treat a row (the last dimension) as a whole have in common.

use crate::number::number;
use crate::{DType, DeviceView};
use cuda::{Argument, CudaError};

/// Dimensions of rows that a kernel counts through.
const DIMS: usize = 3;
/// Rows of a launch at most: kernels number them in 32 bits.
const MOST_ROWS: usize = 1 << 30;

/// The rows of `N` operands of one shape, its last dimension left out. Dimensions that every operand
/// lays out as one are merged.
pub(crate) struct Rows<const N: usize> {
    /// Sizes and the operands' strides, outermost first.
    dims: Vec<(usize, [usize; N])>,
}

/// Rows that one launch goes through, consecutive in the order of the shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part<const N: usize> {
    /// Rows before these.
    pub first: usize,
    /// Rows.
    pub count: usize,
    /// Elements before each operand's first row.
    pub offsets: [usize; N],
    sizes: [usize; DIMS],
    strides: [[usize; N]; DIMS],
}

impl<const N: usize> Rows<N> {
    /// The rows of `shape` with each operand's strides along its dimensions.
    pub fn new(shape: &[usize], strides: [&[usize]; N]) -> Rows<N> {
        let mut dims: Vec<(usize, [usize; N])> = Vec::with_capacity(shape.len());
        for (dim, &size) in shape.iter().enumerate().filter(|&(_, &size)| size != 1) {
            let step = strides.map(|strides| strides[dim]);
            match dims.last_mut() {
                Some((before, outer)) if (0..N).all(|n| outer[n] == step[n] * size) => {
                    *before *= size;
                    *outer = step;
                }
                _ => dims.push((size, step)),
            }
        }
        Rows { dims }
    }

    /// Whether every row begins a multiple of 16 elements behind the operand's first.
    pub fn are_aligned(&self) -> bool {
        let mut strides = self.dims.iter().flat_map(|(_, strides)| strides);
        strides.all(|stride| stride.is_multiple_of(16))
    }

    /// The launches that it takes to go through all rows: one, unless the dimensions can't be merged
    /// to three or there are more than 2³⁰ rows.
    pub fn parts(&self) -> Vec<Part<N>> {
        self.parts_of(MOST_ROWS)
    }

    fn parts_of(&self, most: usize) -> Vec<Part<N>> {
        if self.dims.iter().any(|&(size, _)| size == 0) {
            return Vec::new();
        }
        // The dimensions from `split` on are the kernel's, the first of them in pieces.
        let rows_behind = |dim: usize| self.dims[dim + 1..].iter().map(|(size, _)| size).product();
        let mut split = self.dims.len().saturating_sub(DIMS);
        while split + 1 < self.dims.len() && rows_behind(split) > most {
            split += 1;
        }
        let mut parts = Vec::new();
        let mut part =
            Part { first: 0, count: 1, offsets: [0; N], sizes: [1; DIMS], strides: [[0; N]; DIMS] };
        for (place, &(size, strides)) in self.dims.iter().skip(split).rev().enumerate() {
            part.sizes[DIMS - 1 - place] = size;
            part.strides[DIMS - 1 - place] = strides;
            part.count *= size;
        }
        let Some(&(pieced, strides)) = self.dims.get(split) else {
            return vec![part];
        };
        let behind: usize = rows_behind(split);
        let piece = (most / behind).clamp(1, pieced);
        let repeats: usize = self.dims[..split].iter().map(|(size, _)| size).product();
        for repeat in 0..repeats {
            let outer = self.offsets(split, repeat);
            for start in (0..pieced).step_by(piece) {
                let length = piece.min(pieced - start);
                part.first = (repeat * pieced + start) * behind;
                part.count = length * behind;
                part.offsets = std::array::from_fn(|n| outer[n] + start * strides[n]);
                part.sizes[DIMS - (self.dims.len() - split)] = length;
                parts.push(part.clone());
            }
        }
        parts
    }

    /// Each operand's offset at one place of the outermost `dims` dimensions.
    fn offsets(&self, dims: usize, mut place: usize) -> [usize; N] {
        let mut offsets = [0; N];
        for &(size, strides) in self.dims[..dims].iter().rev() {
            for (offset, stride) in offsets.iter_mut().zip(strides) {
                *offset += place % size * stride;
            }
            place /= size;
        }
        offsets
    }
}

impl<const N: usize> Part<N> {
    /// The address of an operand's first row.
    pub fn pointer(&self, operand: usize, view: &DeviceView) -> Argument {
        advanced(view, self.offsets[operand])
    }

    /// The address of the output's first row; rows have `channels` elements.
    pub fn target(&self, output: &DeviceView, channels: usize) -> Argument {
        advanced(output, self.first * channels)
    }

    /// `rows`, `size1`, `size2` and `channels` of a kernel, and the operands' strides in their order.
    pub fn places(&self, operation: &str, channels: usize) -> Result<Vec<Argument>, CudaError> {
        let mut arguments = Vec::with_capacity(4 + DIMS * N);
        for count in [self.count, self.sizes[1], self.sizes[2], channels] {
            arguments.push(number(operation, count)?);
        }
        let strides = (0..N).flat_map(|n| self.strides.iter().map(move |strides| strides[n]));
        arguments.extend(strides.map(|stride| Argument::I64(stride as i64)));
        Ok(arguments)
    }
}

fn advanced(view: &DeviceView, elements: usize) -> Argument {
    Argument::Pointer(view.pointer() + (elements * view.dtype.size()) as u64)
}

/// A parameter (channels) of a kernel, which may be absent: of the input's element type or
/// `Float32`, with any stride.
#[derive(Clone, Copy)]
pub(crate) struct Parameter<'a>(pub Option<&'a DeviceView>);

impl Parameter<'_> {
    /// Its address.
    pub fn pointer(self) -> Argument {
        Argument::Pointer(self.0.map_or(0, DeviceView::pointer))
    }

    /// Elements from one to the next.
    pub fn stride(self) -> Argument {
        Argument::I64(self.step() as i64)
    }

    fn step(self) -> usize {
        self.0.map_or(1, |view| if view.count() > 1 { view.strides()[0] } else { 1 })
    }

    /// What kernels tell parameters apart by: 0 for none, 1 for one of 16-bit floats, 2 for `Float32`.
    pub fn kind(self) -> Argument {
        Argument::I32(self.0.map_or(0, |view| if view.dtype == DType::Float32 { 2 } else { 1 }))
    }

    /// Whether whole vectors of it can be read.
    pub fn is_aligned(self) -> bool {
        self.step() == 1 && self.0.is_none_or(DeviceView::is_aligned)
    }
}

/// The variant of a kernel for an element type, and for whole vectors of it where all that is read
/// and written is `aligned`. Kernels of `Float32` have none of those.
///
/// # Panics
/// For integers: operations refuse those before.
pub(crate) fn variant(kernel: &str, dtype: DType, aligned: bool) -> String {
    let element = match dtype {
        DType::Float32 => "f32",
        DType::BFloat16 => "bf16",
        DType::Float16 => "f16",
        other => panic!("the kernel takes floats, not {}", other.name()),
    };
    let ending = if aligned && dtype != DType::Float32 { "_aligned" } else { "" };
    format!("{kernel}_{element}{ending}")
}

/// The strides of `view` repeated to `shape` by the rules of broadcasting.
///
/// # Panics
/// Where it doesn't broadcast: operations check that before.
pub(crate) fn broadcast(view: &DeviceView, shape: &[usize]) -> Vec<usize> {
    let added = shape.len().checked_sub(view.shape().len()).expect("operands broadcast");
    let own = view.shape().iter().zip(view.strides()).zip(&shape[added..]);
    let own = own.map(|((&size, &stride), &wanted)| {
        assert!(size == wanted || size == 1, "operands broadcast");
        if size == wanted { stride } else { 0 }
    });
    std::iter::repeat_n(0, added).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_all_lay_out_as_one_are_one_dimension() {
        let rows = Rows::new(&[2, 3, 1, 4], [&[96, 32, 7, 8], &[48, 16, 9, 4]]);
        let parts = rows.parts();
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].count, parts[0].sizes), (24, [1, 1, 24]));
        assert_eq!(parts[0].strides[2], [8, 4]);
        let repeated = Rows::new(&[2, 3], [&[24, 8], &[5, 0]]).parts();
        assert_eq!((repeated[0].sizes, repeated[0].strides[1]), ([1, 2, 3], [24, 5]));
    }

    #[test]
    fn one_row_and_none() {
        let one = Rows::new(&[1, 1], [&[9, 7]]).parts();
        assert_eq!((one.len(), one[0].count, one[0].sizes), (1, 1, [1; 3]));
        assert_eq!(Rows::new(&[], [&[]]).parts().len(), 1);
        assert!(Rows::new(&[3, 0], [&[0, 8]]).parts().is_empty());
    }

    #[test]
    fn strides_of_single_rows_do_not_matter_to_alignment() {
        assert!(Rows::new(&[4, 1], [&[32, 7]]).are_aligned());
        assert!(!Rows::new(&[4, 2], [&[32, 24]]).are_aligned());
    }

    #[test]
    fn parts_visit_every_row_once_whatever_a_launch_takes() {
        let (shape, strides) = ([2, 3, 1, 4, 2, 5], [1000usize, 300, 0, 70, 30, 5]);
        let mut expected = Vec::new();
        for place in 0..240 {
            let index = [place / 120, place / 40 % 3, 0, place / 10 % 4, place / 5 % 2, place % 5];
            expected.push((place, index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>()));
        }
        let rows = Rows::new(&shape, [&strides]);
        for most in [1, 2, 5, 7, 10, 25, 40, 1 << 30] {
            let mut seen = Vec::new();
            for part in rows.parts_of(most) {
                assert!(part.count <= most);
                for row in 0..part.count {
                    let [_, size1, size2] = part.sizes;
                    let index = [row / size2 / size1, row / size2 % size1, row % size2];
                    let within = index.iter().zip(part.strides).map(|(i, [s])| i * s);
                    seen.push((part.first + row, part.offsets[0] + within.sum::<usize>()));
                }
            }
            assert_eq!(seen, expected, "at most {most}");
        }
    }
}
