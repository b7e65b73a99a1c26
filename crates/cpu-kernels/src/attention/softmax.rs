//! The online softmax of a tile (Milakov and Gimelshein 2018; Dao et al. 2022): probabilities of
//! one block of keys, relative to the greatest logit seen so far.

use super::arithmetic::{Arithmetic, Lanes, STATE_ROWS, lanes};

/// What a row of a tile carries from block to block. Lane `i` belongs to row `i`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct RowState {
    /// Greatest score so far, in the tile's unit; minus infinity at first.
    pub maximum: [f32; STATE_ROWS],
    /// Sum of the exponentials so far, relative to `maximum`.
    pub sum: [f32; STATE_ROWS],
}

impl RowState {
    /// The state before the first block.
    pub const START: RowState =
        RowState { maximum: [f32::NEG_INFINITY; STATE_ROWS], sum: [0.0; STATE_ROWS] };
}

/// An additive mask's rows for one tile and block.
#[derive(Clone, Copy)]
pub(super) struct MaskRows {
    /// The tile's first row at the block's first key.
    pub data: *const f32,
    /// Elements between rows.
    pub row_stride: usize,
    /// Elements between keys: 0 or 1.
    pub key_stride: usize,
}

/// Turns raw dot products into logits: `score · scale + mask`.
///
/// # Safety
/// A tile of `rows` rows, `keys` of them filled; a mask with elements for them.
#[inline(always)]
pub(super) unsafe fn apply_scale_and_mask<A: Arithmetic>(
    rows: usize,
    keys: usize,
    scale: f32,
    mask: Option<MaskRows>,
    tile: *mut f32,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise; a row has at least `keys` elements.
        let scores =
            unsafe { std::slice::from_raw_parts_mut(tile.add(row * A::TILE_STRIDE), keys) };
        match mask {
            None => {
                for score in scores {
                    *score *= scale;
                }
            }
            Some(mask) => {
                // SAFETY: the caller's promise.
                let first = unsafe { mask.data.add(row * mask.row_stride) };
                if mask.key_stride == 0 {
                    // SAFETY: as above.
                    let addend = unsafe { *first };
                    for score in scores {
                        *score = *score * scale + addend;
                    }
                } else {
                    // SAFETY: as above; keys are contiguous here.
                    let addends = unsafe { std::slice::from_raw_parts(first, keys) };
                    for (score, addend) in scores.iter_mut().zip(addends) {
                        *score = *score * scale + addend;
                    }
                }
            }
        }
    }
}

/// Replaces the scores of a tile by packed probabilities, updates the rows' state and returns the
/// factors by which what was summed before must be multiplied.
///
/// `unit` takes scores to the logits' unit of [`Arithmetic::power`]; it is above 0 (or NaN). A row
/// whose scores are all minus infinity gets probabilities of 0 and keeps a sum of 0; a NaN among
/// them makes the sum NaN for good.
///
/// # Safety
/// The instruction set of `A`; a tile of `rows` rows, filled to `keys`.
#[inline(always)]
pub(super) unsafe fn softmax<A: Arithmetic>(
    rows: usize,
    keys: usize,
    unit: f32,
    tile: *mut f32,
    state: &mut RowState,
) -> [f32; STATE_ROWS] {
    let pair = 2 * lanes::<A>();
    let padded = keys.next_multiple_of(pair);
    // SAFETY: every address lies in the tile's rows, which hold a whole number of vector pairs.
    unsafe {
        let mut maximum = state.maximum;
        for (row, maximum) in maximum.iter_mut().enumerate().take(rows) {
            let scores = tile.add(row * A::TILE_STRIDE);
            for key in keys..padded {
                *scores.add(key) = f32::NEG_INFINITY;
            }
            let mut first = A::Simd::load(scores);
            let mut second = A::Simd::load(scores.add(lanes::<A>()));
            for key in (pair..padded).step_by(pair) {
                first = A::Simd::maximum(first, A::Simd::load(scores.add(key)));
                second = A::Simd::maximum(second, A::Simd::load(scores.add(key + lanes::<A>())));
            }
            let block = A::Simd::horizontal_maximum(A::Simd::maximum(first, second));
            *maximum = if block > *maximum { block } else { *maximum };
        }
        // With every score minus infinity so far, 0 stands in for the maximum: minus infinity less
        // itself would be NaN, less 0 it has the exponential 0.
        let origin = maximum.map(|value| if value == f32::NEG_INFINITY { 0.0 } else { value });
        let unit = A::Simd::splat(unit);
        let mut factors = [0.0; STATE_ROWS];
        for lane in (0..STATE_ROWS).step_by(lanes::<A>()) {
            let old = A::Simd::load(state.maximum.as_ptr().add(lane));
            let distance = A::Simd::subtract(old, A::Simd::load(origin.as_ptr().add(lane)));
            let factor = A::power(A::Simd::multiply(distance, unit));
            A::Simd::store(factors.as_mut_ptr().add(lane), factor);
        }
        state.maximum = maximum;
        for row in 0..rows {
            let scores = tile.add(row * A::TILE_STRIDE);
            let origin = A::Simd::splat(origin[row]);
            let mut first_sum = A::Simd::splat(0.0);
            let mut second_sum = A::Simd::splat(0.0);
            for key in (0..padded).step_by(pair) {
                // The distance before the unit: exact near the maximum, where it matters, and never
                // above 0, however large the scores.
                let first = A::Simd::subtract(A::Simd::load(scores.add(key)), origin);
                let second =
                    A::Simd::subtract(A::Simd::load(scores.add(key + lanes::<A>())), origin);
                let first = A::power(A::Simd::multiply(first, unit));
                let second = A::power(A::Simd::multiply(second, unit));
                first_sum = A::Simd::add(first_sum, first);
                second_sum = A::Simd::add(second_sum, second);
                A::store_probabilities(scores.cast(), key, first, second);
            }
            let sum = A::Simd::horizontal_sum(A::Simd::add(first_sum, second_sum));
            state.sum[row] = state.sum[row] * factors[row] + sum;
        }
        factors
    }
}
