//! Products in plain Rust, which the compiler vectorises for the target's baseline (SSE2, NEON).

use super::epilogue::{Activation, finish};
use super::kernel::{Kernel, WIDEST_PANEL};
use super::number::Number;
use std::marker::PhantomData;

/// The kernel of every machine: 6 × 8 tiles, which fit sixteen registers of four lanes.
#[derive(Clone, Copy)]
pub(crate) struct Portable<N>(PhantomData<N>);

const ROWS: usize = 6;
const COLUMNS: usize = 8;

impl<N: Number> Kernel for Portable<N> {
    type Number = N;
    type Packed = f32;
    const PER_STEP: usize = 1;
    const ROWS: usize = ROWS;
    const COLUMNS: usize = COLUMNS;
    const DEPTH: usize = 256;
    const BLOCK_ROWS: usize = 96;

    unsafe fn pack_left(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { pack::<N, ROWS>(rows, count, panel) }
    }

    unsafe fn pack_right(rows: &[*const N::Element; WIDEST_PANEL], count: usize, panel: *mut f32) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { pack::<N, COLUMNS>(rows, count, panel) }
    }

    unsafe fn tile(
        steps: usize,
        left: *const f32,
        right: *const f32,
        sums: *mut f32,
        accumulate: bool,
    ) {
        // SAFETY: the caller promises panels of `steps` steps and a whole tile of sums.
        let (left, right, sums) = unsafe {
            (
                std::slice::from_raw_parts(left.cast::<[f32; ROWS]>(), steps),
                std::slice::from_raw_parts(right.cast::<[f32; COLUMNS]>(), steps),
                std::slice::from_raw_parts_mut(sums.cast::<[f32; COLUMNS]>(), ROWS),
            )
        };
        let mut tile = [[0f32; COLUMNS]; ROWS];
        for (left, right) in left.iter().zip(right) {
            for row in 0..ROWS {
                for column in 0..COLUMNS {
                    tile[row][column] = multiply_add(left[row], right[column], tile[row][column]);
                }
            }
        }
        for (sums, tile) in sums.iter_mut().zip(&tile) {
            for (sum, value) in sums.iter_mut().zip(tile) {
                *sum = if accumulate { *sum + value } else { *value };
            }
        }
    }

    unsafe fn finish(
        activation: Activation,
        sums: *const f32,
        bias: *const f32,
        rows: usize,
        columns: usize,
        output: *mut N::Element,
        output_stride: usize,
    ) {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe {
            finish::<N, COLUMNS>(activation, sums, bias, rows, columns, output, output_stride)
        }
    }
}

/// Fused where the target's baseline has the instruction: elsewhere it would be a library call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Packs `count` elements of `WIDTH` rows, one to a step.
///
/// # Safety
/// As [`Kernel::pack_left`].
pub(crate) unsafe fn pack<N: Number, const WIDTH: usize>(
    rows: &[*const N::Element; WIDEST_PANEL],
    count: usize,
    panel: *mut f32,
) {
    for (place, row) in rows[..WIDTH].iter().enumerate() {
        for step in 0..count {
            // SAFETY: the row has `count` elements, the panel `WIDTH` × `count` values.
            unsafe { *panel.add(step * WIDTH + place) = N::widen(*row.add(step)) };
        }
    }
}
