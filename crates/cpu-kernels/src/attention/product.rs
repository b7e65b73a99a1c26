//! The two matrix products of a tile: query by keys, and probabilities by values.
//!
//! An element of either is one chain of multiply-adds over the summed dimension from zero, in order,
//! in its own lane. It therefore doesn't depend on the tile's rows or on the panel's width.

use super::arithmetic::{Arithmetic, Lanes, STATE_ROWS, Vector, lanes};

/// Sums of `ROWS` rows of words, `stride` apart, times a panel of `WIDTH` vectors a step.
///
/// # Safety
/// The instruction set of `A`; `depth` words in each row; `depth · WIDTH` vectors in the panel.
#[inline(always)]
unsafe fn product<A: Arithmetic, const ROWS: usize, const WIDTH: usize>(
    depth: usize,
    stride: usize,
    rows: *const u32,
    panel: *const u32,
) -> [[Vector<A>; WIDTH]; ROWS] {
    // SAFETY: the caller's promise covers every address below.
    unsafe {
        let mut sums = [[A::Simd::splat(0.0); WIDTH]; ROWS];
        let (mut rows, mut panel) = (rows, panel.cast::<f32>());
        for _ in 0..depth {
            let mut right = [A::Simd::splat(0.0); WIDTH];
            for (index, vector) in right.iter_mut().enumerate() {
                *vector = A::Simd::load(panel.add(index * lanes::<A>()));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let left = A::splat_word(rows.add(row * stride));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = A::accumulate_product(left, right, *sum);
                }
            }
            rows = rows.add(1);
            panel = panel.add(WIDTH * lanes::<A>());
        }
        sums
    }
}

/// Dot products of `ROWS` packed query rows with the `key_count` keys of a block, into the tile.
///
/// # Safety
/// The instruction set of `A`; `depth` words in each query row; a block packed by
/// [`super::pack::pack_keys`]; a tile of `ROWS` rows.
#[inline(always)]
pub(super) unsafe fn scores<A: Arithmetic, const ROWS: usize>(
    depth: usize,
    query: *const u32,
    keys: *const u32,
    key_count: usize,
    tile: *mut f32,
) {
    let panel_keys = 2 * lanes::<A>();
    for key in (0..key_count).step_by(panel_keys) {
        // SAFETY: whole panels of a packed block lie `depth` words a key apart; the tile has room
        // for a block, which is a multiple of the panel.
        unsafe {
            let panel = keys.add(key * depth);
            let target = tile.add(key);
            if key_count - key > lanes::<A>() {
                let sums = product::<A, ROWS, 2>(depth, A::QUERY_STRIDE, query, panel);
                store_rows::<A, ROWS, 2>(&sums, target);
            } else {
                let sums = product::<A, ROWS, 1>(depth, A::QUERY_STRIDE, query, panel);
                store_rows::<A, ROWS, 1>(&sums, target);
            }
        }
    }
}

/// # Safety
/// The instruction set of `A`; room in the tile.
#[inline(always)]
unsafe fn store_rows<A: Arithmetic, const ROWS: usize, const WIDTH: usize>(
    sums: &[[Vector<A>; WIDTH]; ROWS],
    target: *mut f32,
) {
    for (row, sums) in sums.iter().enumerate() {
        for (index, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                A::Simd::store(target.add(row * A::TILE_STRIDE + index * lanes::<A>()), *sum);
            }
        }
    }
}

/// `sums = sums · factor + probabilities · values` for `ROWS` rows.
///
/// # Safety
/// The instruction set of `A`; `depth` words of probabilities in each row of the tile; a block
/// packed by [`super::pack::pack_values`] with that depth; `columns`, a multiple of the lanes, in
/// each row of `sums`.
#[inline(always)]
pub(super) unsafe fn accumulate<A: Arithmetic, const ROWS: usize>(
    depth: usize,
    probabilities: *const u32,
    values: *const u32,
    columns: usize,
    factors: &[f32; STATE_ROWS],
    sums: *mut f32,
) {
    for column in (0..columns).step_by(2 * lanes::<A>()) {
        // SAFETY: the panels of a packed block lie `depth` words a column apart; the caller
        // promised the rest.
        unsafe {
            let panel = values.add(column * depth);
            let target = sums.add(column);
            if columns - column > lanes::<A>() {
                let block = product::<A, ROWS, 2>(depth, A::TILE_STRIDE, probabilities, panel);
                rescale_rows::<A, ROWS, 2>(&block, factors, target, columns);
            } else {
                let block = product::<A, ROWS, 1>(depth, A::TILE_STRIDE, probabilities, panel);
                rescale_rows::<A, ROWS, 1>(&block, factors, target, columns);
            }
        }
    }
}

/// # Safety
/// The instruction set of `A`; `WIDTH` vectors in each row of `target`.
#[inline(always)]
unsafe fn rescale_rows<A: Arithmetic, const ROWS: usize, const WIDTH: usize>(
    block: &[[Vector<A>; WIDTH]; ROWS],
    factors: &[f32; STATE_ROWS],
    target: *mut f32,
    stride: usize,
) {
    for (row, block) in block.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let factor = A::Simd::splat(factors[row]);
            for (index, sum) in block.iter().enumerate() {
                let target = target.add(row * stride + index * lanes::<A>());
                let old = A::Simd::load(target);
                A::Simd::store(target, A::Simd::multiply_add(old, factor, *sum));
            }
        }
    }
}
