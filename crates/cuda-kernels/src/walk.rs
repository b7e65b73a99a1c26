//! Walks through strided operands, as kernels of tiles take them (`kernels/walk.py`).

use crate::{DeviceView, Gpu};
use cuda::{Argument, CudaError};

/// Dimensions that a kernel counts through: four of rows, and the run.
const DIMS: usize = 5;
/// Rows, and positions of a run, of one launch: kernels count them in 32 bits.
const MOST: usize = i32::MAX as usize;

/// A dimension: its size and the operands' strides along it.
pub(crate) type Dim<const N: usize> = (usize, [usize; N]);

/// The common index space of `N` operands, as `cpu_kernels` walks through it: dimensions that every
/// operand lays out as one are merged.
pub(crate) struct Walk<const N: usize> {
    /// Outermost first; none of size 1.
    pub dims: Vec<Dim<N>>,
    empty: bool,
}

/// Part of a walk that one launch takes.
pub(crate) struct Piece<const N: usize> {
    /// Each operand's first element.
    pub offsets: [usize; N],
    /// Positions in all.
    count: usize,
    /// The outer sizes and, last, the run's.
    sizes: [usize; DIMS],
    strides: [[usize; DIMS]; N],
}

impl<const N: usize> Walk<N> {
    /// The walk through `shape` with each operand's strides along its dimensions.
    pub fn new(shape: &[usize], strides: [&[usize]; N]) -> Walk<N> {
        let mut dims: Vec<Dim<N>> = Vec::with_capacity(shape.len());
        for (dim, &size) in shape.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let step = strides.map(|strides| strides[dim]);
            match dims.last_mut() {
                Some((before, outer)) if (0..N).all(|n| outer[n] == step[n] * size) => {
                    *before *= size;
                    *outer = step;
                }
                _ => dims.push((size, step)),
            }
        }
        Walk { dims, empty: shape.contains(&0) }
    }

    /// The walk as launches of tiles of so many columns can take it.
    pub fn pieces(&self, columns: usize) -> Vec<Piece<N>> {
        let mut pieces = Vec::new();
        if !self.empty {
            add_pieces(&self.dims, [0; N], columns, &mut pieces);
        }
        pieces
    }

    /// Launches a kernel of tiles for each piece. It takes `arguments(piece)`, then what
    /// `walk.SIZES` in Python names, then the strides of the first `operands` operands.
    ///
    /// # Errors
    ///
    /// As [`Gpu::launch`].
    pub fn launch(
        &self,
        gpu: &Gpu,
        kernel: &str,
        operands: usize,
        arguments: impl Fn(&Piece<N>) -> Vec<Argument>,
    ) -> Result<(), CudaError> {
        let [rows, columns] = ["ROWS", "COLUMNS"].map(|name| gpu.constant(kernel, name) as usize);
        for piece in self.pieces(columns) {
            let mut arguments = arguments(&piece);
            arguments.extend(piece.sizes());
            for strides in &piece.strides[..operands] {
                arguments.extend(strides.map(|stride| Argument::I64(stride as i64)));
            }
            gpu.launch(kernel, piece.grid(rows, columns), &arguments)?;
        }
        Ok(())
    }
}

/// Adds the pieces of a walk of these dimensions. Where there are more than a launch counts, the
/// outermost is taken in parts.
fn add_pieces<const N: usize>(
    dims: &[Dim<N>],
    offsets: [usize; N],
    columns: usize,
    pieces: &mut Vec<Piece<N>>,
) {
    let (&(run, _), outer) = dims.split_last().unwrap_or((&(1, [0; N]), &[]));
    if let Some((&(size, strides), inner)) = outer.split_first() {
        let rows: usize = inner.iter().map(|(size, _)| size).product();
        let part = match dims.len() > DIMS || run > MOST {
            true => 1,
            false => (MOST / rows).clamp(1, size),
        };
        if part < size || dims.len() > DIMS || run > MOST {
            for start in (0..size).step_by(part) {
                let offsets = std::array::from_fn(|n| offsets[n] + start * strides[n]);
                let mut rest = dims[1..].to_vec();
                if part > 1 {
                    rest.insert(0, (part.min(size - start), strides));
                }
                add_pieces(&rest, offsets, columns, pieces);
            }
            return;
        }
    }
    let mut dims = dims.to_vec();
    let count = dims.iter().map(|(size, _)| size).product();
    // A run of many tiles' columns becomes rows of one tile's: tiles are full, however few rows
    // there were. The last row of a lone run may be cut off by `count`.
    if run > columns && dims.len() < DIMS && (dims.len() == 1 || run.is_multiple_of(columns)) {
        let (_, strides) = dims.pop().expect("a run is a dimension");
        dims.push((run.div_ceil(columns), strides.map(|stride| stride * columns)));
        dims.push((columns, strides));
    }
    let mut piece = Piece { offsets, count, sizes: [1; DIMS], strides: [[0; DIMS]; N] };
    for (place, (size, strides)) in (DIMS - dims.len()..).zip(dims) {
        piece.sizes[place] = size;
        for (operand, stride) in piece.strides.iter_mut().zip(strides) {
            operand[place] = stride;
        }
    }
    pieces.push(piece);
}

impl<const N: usize> Piece<N> {
    /// The address of an operand's first element.
    pub fn pointer(&self, operand: usize, view: &DeviceView) -> Argument {
        let offset = self.offsets[operand] * view.dtype.size();
        Argument::Pointer(view.pointer() + offset as u64)
    }

    /// What `walk.SIZES` names: the positions in all, of a run, and along outer dimensions but the
    /// outermost.
    fn sizes(&self) -> [Argument; DIMS] {
        let [_, size1, size2, size3, run] = self.sizes;
        let number = |size: usize| Argument::I32(i32::try_from(size).expect("at most MOST"));
        let count = Argument::I64(self.count as i64);
        [count, number(run), number(size1), number(size2), number(size3)]
    }

    /// A block for each tile of so many rows and columns.
    fn grid(&self, rows: usize, columns: usize) -> [u32; 3] {
        let [outer @ .., run] = self.sizes;
        let tiles = outer.iter().product::<usize>().div_ceil(rows) * run.div_ceil(columns);
        [u32::try_from(tiles).expect("fewer tiles than rows"), 1, 1]
    }
}

/// The strides of `input` repeated to `shape` by the rules of broadcasting, which the operation has
/// checked.
pub(crate) fn broadcast(input: &DeviceView, shape: &[usize]) -> Vec<usize> {
    let added = shape.len() - input.shape().len();
    let mut strides = vec![0; shape.len()];
    for (dim, stride) in strides.iter_mut().enumerate().skip(added) {
        if input.shape()[dim - added] == shape[dim] {
            *stride = input.strides()[dim - added];
        }
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offsets of every position, as kernels compute them.
    fn visited<const N: usize>(pieces: &[Piece<N>]) -> Vec<[usize; N]> {
        let mut seen = Vec::new();
        for piece in pieces {
            let [outer @ .., run] = piece.sizes;
            let rows: usize = outer.iter().product();
            for position in 0..(rows * run).min(piece.count) {
                let mut row = position / run;
                let mut places = [0, 0, 0, 0, position % run];
                for dim in (0..4).rev() {
                    places[dim] = row % outer[dim];
                    row /= outer[dim];
                }
                seen.push(std::array::from_fn(|n| {
                    let steps = places.iter().zip(piece.strides[n]);
                    piece.offsets[n] + steps.map(|(place, stride)| place * stride).sum::<usize>()
                }));
            }
        }
        seen
    }

    #[test]
    fn every_position_is_in_one_piece_in_order() {
        let shapes: [&[usize]; 9] = [
            &[],
            &[1],
            &[5],
            &[100],
            &[3, 64],
            &[3, 70],
            &[2, 3, 4, 5, 2],
            &[2, 3, 2, 1, 5, 2, 3],
            &[2, 2, 3, 2, 2, 3, 2, 2],
        ];
        for shape in shapes {
            let contiguous = crate::Layout::contiguous(shape).strides;
            // Strides that no two dimensions share, so that none are merged.
            let apart: Vec<usize> =
                (0..shape.len()).map(|dim| 1000 * (shape.len() - dim) + dim).collect();
            let walk = Walk::new(shape, [&apart, &contiguous]);
            let count: usize = shape.iter().product();
            let mut expected = Vec::new();
            for position in 0..count {
                let (mut rest, mut at) = (position, 0);
                for dim in (0..shape.len()).rev() {
                    at += rest % shape[dim] * apart[dim];
                    rest /= shape[dim];
                }
                expected.push([at, position]);
            }
            assert_eq!(visited(&walk.pieces(32)), expected, "{shape:?}");
        }
    }

    #[test]
    fn merges_what_every_operand_lays_out_as_one() {
        let walk = Walk::new(&[2, 3, 1, 4], [&[12, 4, 4, 1], &[24, 8, 0, 2]]);
        assert_eq!(walk.dims, [(24, [1, 2])]);
        let apart = Walk::new(&[2, 3, 4], [&[12, 4, 1], &[0, 4, 1]]);
        assert_eq!(apart.dims, [(2, [12, 0]), (12, [1, 1])]);
        assert!(Walk::new(&[3, 0, 2], [&[0, 2, 1]]).pieces(32).is_empty());
    }

    #[test]
    fn what_32_bits_do_not_count_is_cut() {
        let long = Walk::new(&[1 << 33], [&[2]]).pieces(32);
        assert_eq!(
            (long.len(), long[0].count, long[0].sizes),
            (1, 1 << 33, [1, 1, 1, 1 << 28, 32])
        );
        let rows = Walk::new(&[3, 1 << 31, 2], [&[1 << 40, 7, 1]]).pieces(32);
        let parts: Vec<_> = rows.iter().map(|piece| (piece.offsets[0], piece.count)).collect();
        let matrix = |start: usize| [(start, 2 * MOST), (start + 7 * MOST, 2)];
        assert_eq!(parts, [matrix(0), matrix(1 << 40), matrix(2 << 40)].concat());
        let runs = Walk::new(&[2, 1 << 32], [&[1 << 40, 3]]).pieces(32);
        let parts: Vec<_> = runs.iter().map(|piece| (piece.offsets[0], piece.count)).collect();
        assert_eq!(parts, [(0, 1 << 32), (1 << 40, 1 << 32)]);
    }
}
