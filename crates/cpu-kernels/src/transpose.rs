//! Copies that turn rows into columns, tile by tile.

use crate::Cpu;
use crate::walk::Walk;

/// Positions along each side of a tile. A tile's lines of 64 bytes, read and written, lie in the
/// first cache together.
const TILE: usize = 32;
/// Bytes that a thread moves at a time.
const GRAIN_BYTES: usize = 64 << 10;

/// Copies the positions of `walk` (input, output) where the output's elements are consecutive along
/// the run and the input's along another dimension; the walk isn't empty. Returns false, having
/// done nothing, where the walk isn't like that.
///
/// # Safety
/// The walk's positions lie within `from` and `to`, and no two share an element of `to`.
pub(crate) unsafe fn copy_transposed<T: Copy>(
    cpu: &Cpu,
    walk: &Walk<2>,
    from: *const T,
    to: *mut T,
) -> bool {
    let (run, [from_stride, to_stride]) = walk.run();
    let columns = walk.outer().iter().position(|&(_, strides)| strides[0] == 1);
    let Some(columns) = columns.filter(|_| to_stride == 1 && from_stride > 1) else {
        return false;
    };
    // Strips of TILE columns are the innermost dimension of a walk; its third operand counts columns.
    let mut dims = walk.outer().to_vec();
    let (count, [_, column_stride]) = dims.remove(columns);
    let (mut shape, mut strides) = (Vec::new(), [const { Vec::new() }; 3]);
    let strip = (count.div_ceil(TILE), [TILE, TILE * column_stride, TILE]);
    let outer = dims.into_iter().map(|(size, [from, to])| (size, [from, to, 0]));
    for (size, steps) in outer.chain([strip]) {
        shape.push(size);
        for (strides, step) in strides.iter_mut().zip(steps) {
            strides.push(step);
        }
    }
    let strips = Walk::new(&shape, strides.each_ref().map(Vec::as_slice));
    let steps = strips.run_strides;
    let pointers = Pointers { from, to };
    let grain = (GRAIN_BYTES / (TILE * run * size_of::<T>())).max(1);
    strips.for_each_run(cpu, grain, |offsets, length| {
        for strip in 0..length {
            let [from, to, column] = std::array::from_fn(|n| offsets[n] + strip * steps[n]);
            let width = TILE.min(count - column);
            // SAFETY: the strip's columns and the whole run are positions of the walk.
            unsafe {
                let (from, to) = (pointers.from().add(from), pointers.to().add(to));
                copy_strip(from, from_stride, to, column_stride, width, run);
            }
        }
    });
    true
}

/// What the threads share.
struct Pointers<T> {
    from: *const T,
    to: *mut T,
}

// SAFETY: `copy_transposed`'s caller promised memory to read and disjoint places to write.
unsafe impl<T> Sync for Pointers<T> {}

impl<T> Pointers<T> {
    fn from(&self) -> *const T {
        self.from
    }

    fn to(&self) -> *mut T {
        self.to
    }
}

/// Copies `width` columns of `run` elements: column c, place r from `from[r · from_stride + c]` to
/// `to[c · to_stride + r]`.
///
/// # Safety
/// Those elements are there.
unsafe fn copy_strip<T: Copy>(
    from: *const T,
    from_stride: usize,
    to: *mut T,
    to_stride: usize,
    width: usize,
    run: usize,
) {
    for start in (0..run).step_by(TILE) {
        let end = (start + TILE).min(run);
        for column in 0..width {
            for place in start..end {
                // SAFETY: the caller's promise, for this column and place.
                unsafe {
                    let value = from.add(place * from_stride + column).read();
                    to.add(column * to_stride + place).write(value);
                }
            }
        }
    }
}
