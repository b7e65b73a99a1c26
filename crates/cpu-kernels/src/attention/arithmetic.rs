//! What the tile kernels ask of an instruction set.
//!
//! The algorithm is written once, in [`super::product`], [`super::softmax`], [`super::pack`] and
//! [`super::task`], over these two traits. Each instruction set implements them, and wraps the
//! algorithm's entry points in functions compiled with its target features (see `entry_points!`);
//! everything between an entry point and an intrinsic is `#[inline(always)]`, so that it is compiled
//! with those features too.

use super::pack::{KeyBlock, KeyRows};
use super::task::{Task, TaskScratch};

/// Rows of the per-tile arrays of maxima, sums and factors: no tile has more.
pub(super) const STATE_ROWS: usize = 16;

/// Vectors of `f32`.
///
/// # Safety
/// Every function needs the implementing instruction set; `load` and `store` need `LANES` elements
/// behind the pointer, of any alignment.
pub(super) trait Lanes: 'static {
    /// A register of `LANES` elements.
    type Vector: Copy;
    /// `f32` elements of a vector.
    const LANES: usize;

    /// All lanes `value`.
    unsafe fn splat(value: f32) -> Self::Vector;
    /// Reads a vector.
    unsafe fn load(source: *const f32) -> Self::Vector;
    /// Writes a vector.
    unsafe fn store(target: *mut f32, value: Self::Vector);
    /// `left + right`.
    unsafe fn add(left: Self::Vector, right: Self::Vector) -> Self::Vector;
    /// `left - right`.
    unsafe fn subtract(left: Self::Vector, right: Self::Vector) -> Self::Vector;
    /// `left · right`.
    unsafe fn multiply(left: Self::Vector, right: Self::Vector) -> Self::Vector;
    /// `left · right + sum`, in one rounding where the set has such an instruction.
    unsafe fn multiply_add(
        left: Self::Vector,
        right: Self::Vector,
        sum: Self::Vector,
    ) -> Self::Vector;
    /// The greater of each lane; `right` where either is NaN.
    unsafe fn maximum(left: Self::Vector, right: Self::Vector) -> Self::Vector;
    /// The sum over lanes, in one fixed order.
    unsafe fn horizontal_sum(vector: Self::Vector) -> f32;
    /// The greatest lane.
    unsafe fn horizontal_maximum(vector: Self::Vector) -> f32;
    /// `e^x` for `x ≤ 0` to a relative 1.5e-7; 0 at minus infinity, NaN for NaN.
    unsafe fn exponential(x: Self::Vector) -> Self::Vector;
    /// IEEE halves to `f32`.
    unsafe fn widen_halves(source: *const u16, count: usize, target: *mut f32);
    /// Transposes `LANES` rows of 32-bit words, `source_stride` apart: word `i` of row `j` goes to
    /// `target[i * target_stride + j]`, for `i` below `count`. Rows are read in whole vectors: up to
    /// `count` rounded up to `LANES`.
    unsafe fn transpose(
        source: *const u32,
        source_stride: usize,
        count: usize,
        target: *mut u32,
        target_stride: usize,
    );
}

/// How a tile's products and probabilities are computed on one instruction set.
///
/// Operands are packed in 32-bit words of `PAIR` elements: an `f32`, or two bfloat16 that follow each
/// other along the summed dimension. A tile is up to `ROWS` query rows against up to `KEY_BLOCK` keys.
/// Its scores are `f32`, `TILE_STRIDE` words a row, and its probabilities overwrite them as words.
///
/// # Safety
/// Every function needs the implementing instruction set, and memory as its documentation says.
pub(super) trait Arithmetic: Sized + 'static {
    /// The vectors to compute with.
    type Simd: Lanes;
    /// Elements of a packed word.
    const PAIR: usize;
    /// The most rows of a tile; at most [`STATE_ROWS`].
    const ROWS: usize;
    /// Keys of a block; a multiple of twice the lanes.
    const KEY_BLOCK: usize;
    /// Words between the rows of a tile: a block and a little, so that rows don't share cache sets.
    const TILE_STRIDE: usize = Self::KEY_BLOCK + 16;
    /// Words between packed query rows, for head sizes up to the greatest.
    const QUERY_STRIDE: usize = super::MAX_HEAD_SIZE / Self::PAIR + 16;
    /// What logits are multiplied by before [`Arithmetic::power`]: 1 for e^x, log2(e) for 2^x.
    const LOGIT_UNIT: f32;

    /// The exponential of a logit in `LOGIT_UNIT`s, for `x ≤ 0`; 0 at minus infinity, NaN for NaN.
    unsafe fn power(x: Vector<Self>) -> Vector<Self>;
    /// A packed word in every lane.
    unsafe fn splat_word(word: *const u32) -> Vector<Self>;
    /// Adds the product of packed words to `f32` sums.
    unsafe fn accumulate_product(
        left: Vector<Self>,
        right: Vector<Self>,
        sum: Vector<Self>,
    ) -> Vector<Self>;
    /// Packs the probabilities of `2 · LANES` keys at their place of a tile's row.
    ///
    /// `row` is the row's start, `key` the first key's index in the block.
    unsafe fn store_probabilities(
        row: *mut u32,
        key: usize,
        first: Vector<Self>,
        second: Vector<Self>,
    );

    /// [`super::product::scores`] for `rows` rows.
    unsafe fn scores(
        rows: usize,
        depth: usize,
        query: *const u32,
        keys: *const u32,
        key_count: usize,
        tile: *mut f32,
    );
    /// [`super::product::accumulate`] for `rows` rows.
    unsafe fn accumulate(
        rows: usize,
        depth: usize,
        probabilities: *const u32,
        values: *const u32,
        columns: usize,
        factors: &[f32; STATE_ROWS],
        sums: *mut f32,
    );
    /// [`super::pack::pack_keys`].
    unsafe fn pack_keys(source: KeyRows, head_size: usize, block: KeyBlock, target: *mut u32);
    /// [`super::pack::pack_values`].
    unsafe fn pack_values(source: KeyRows, head_size: usize, block: KeyBlock, target: *mut u32);
    /// [`super::task::attend`].
    unsafe fn attend(task: &Task, scratch: &TaskScratch);
}

/// The vector type of an [`Arithmetic`].
pub(super) type Vector<A> = <<A as Arithmetic>::Simd as Lanes>::Vector;

/// Lanes of the vectors of an [`Arithmetic`].
pub(super) const fn lanes<A: Arithmetic>() -> usize {
    <A::Simd as Lanes>::LANES
}

/// Implements the entry points of [`Arithmetic`] as the generic algorithm compiled with target
/// features, with a product kernel for each number of rows.
macro_rules! entry_points {
    ($(#[$features:meta])? set: $set:ty, rows: [$($rows:literal)*]) => {
        unsafe fn scores(
            rows: usize,
            depth: usize,
            query: *const u32,
            keys: *const u32,
            key_count: usize,
            tile: *mut f32,
        ) {
            $(#[$features])?
            unsafe fn compiled<const ROWS: usize>(
                depth: usize,
                query: *const u32,
                keys: *const u32,
                key_count: usize,
                tile: *mut f32,
            ) {
                // SAFETY: the caller's promise; the features are this function's.
                unsafe {
                    $crate::attention::product::scores::<$set, ROWS>(
                        depth, query, keys, key_count, tile,
                    );
                }
            }
            match rows {
                // SAFETY: the caller's promise.
                $($rows => unsafe { compiled::<$rows>(depth, query, keys, key_count, tile) },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        }

        unsafe fn accumulate(
            rows: usize,
            depth: usize,
            probabilities: *const u32,
            values: *const u32,
            columns: usize,
            factors: &[f32; $crate::attention::arithmetic::STATE_ROWS],
            sums: *mut f32,
        ) {
            $(#[$features])?
                    unsafe fn compiled<const ROWS: usize>(
                depth: usize,
                probabilities: *const u32,
                values: *const u32,
                columns: usize,
                factors: &[f32; $crate::attention::arithmetic::STATE_ROWS],
                sums: *mut f32,
            ) {
                // SAFETY: the caller's promise; the features are this function's.
                unsafe {
                    $crate::attention::product::accumulate::<$set, ROWS>(
                        depth, probabilities, values, columns, factors, sums,
                    );
                }
            }
            match rows {
                // SAFETY: the caller's promise.
                $($rows => unsafe {
                    compiled::<$rows>(
                        depth, probabilities, values, columns, factors, sums,
                    )
                },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        }

        unsafe fn pack_keys(
            source: $crate::attention::pack::KeyRows,
            head_size: usize,
            block: $crate::attention::pack::KeyBlock,
            target: *mut u32,
        ) {
            $(#[$features])?
            unsafe fn compiled(
                source: $crate::attention::pack::KeyRows,
                head_size: usize,
                block: $crate::attention::pack::KeyBlock,
                target: *mut u32,
            ) {
                // SAFETY: the caller's promise; the features are this function's.
                unsafe {
                    $crate::attention::pack::pack_keys::<$set>(source, head_size, block, target);
                }
            }
            // SAFETY: the caller's promise.
            unsafe { compiled(source, head_size, block, target) }
        }

        unsafe fn pack_values(
            source: $crate::attention::pack::KeyRows,
            head_size: usize,
            block: $crate::attention::pack::KeyBlock,
            target: *mut u32,
        ) {
            $(#[$features])?
            unsafe fn compiled(
                source: $crate::attention::pack::KeyRows,
                head_size: usize,
                block: $crate::attention::pack::KeyBlock,
                target: *mut u32,
            ) {
                // SAFETY: the caller's promise; the features are this function's.
                unsafe {
                    $crate::attention::pack::pack_values::<$set>(source, head_size, block, target);
                }
            }
            // SAFETY: the caller's promise.
            unsafe { compiled(source, head_size, block, target) }
        }

        unsafe fn attend(
            task: &$crate::attention::task::Task,
            scratch: &$crate::attention::task::TaskScratch,
        ) {
            $(#[$features])?
            unsafe fn compiled(
                task: &$crate::attention::task::Task,
                scratch: &$crate::attention::task::TaskScratch,
            ) {
                // SAFETY: the caller's promise; the features are this function's.
                unsafe { $crate::attention::task::attend::<$set>(task, scratch) }
            }
            // SAFETY: the caller's promise.
            unsafe { compiled(task, scratch) }
        }
    };
}
pub(super) use entry_points;
